#include "adapter-turns.h"

#include <algorithm>
#include <set>

namespace llamaestro {

// The next step is expected to take what the last one took.
bool AdapterTurns::mayGoOn(const std::vector<uint64_t>& present) const {
  if (left_ == 0) return false;
  const std::set<uint64_t> sets(present.begin(), present.end());
  if (sets.count(current_) == 0) return false;
  const size_t others = sets.size() - 1;
  return others == 0 || turnMs_ + stepMs_ <= kMostSilentMs / static_cast<double>(others);
}

uint64_t AdapterTurns::next(const std::vector<uint64_t>& present) {
  if (mayGoOn(present)) {
    --left_;
    return current_;
  }
  // The smallest number above the current one, else the smallest.
  const auto rank = [this](uint64_t set) { return set - current_ - 1; };
  current_ =
      *std::min_element(present.begin(), present.end(), [&](uint64_t a, uint64_t b) { return rank(a) < rank(b); });
  left_ = kStepsPerTurn - 1;
  turnMs_ = 0;
  stepMs_ = 0;
  return current_;
}

void AdapterTurns::spent(double ms) {
  turnMs_ += ms;
  stepMs_ = ms;
}

}  // namespace llamaestro
