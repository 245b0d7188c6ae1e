#include "adapter-turns.h"

#include <algorithm>

namespace llamaestro {

uint64_t AdapterTurns::next(const std::vector<uint64_t>& present) {
  if (left_ > 0 && std::find(present.begin(), present.end(), current_) != present.end()) {
    --left_;
    return current_;
  }
  // The smallest number above the current one, else the smallest.
  const auto rank = [this](uint64_t set) { return set - current_ - 1; };
  current_ =
      *std::min_element(present.begin(), present.end(), [&](uint64_t a, uint64_t b) { return rank(a) < rank(b); });
  left_ = kStepsPerTurn - 1;
  return current_;
}

}  // namespace llamaestro
