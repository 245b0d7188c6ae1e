#include "holders.h"

#include <algorithm>
#include <utility>

namespace llamaestro {

void Holders::add(uint32_t slot, uint64_t space, std::vector<int32_t> tokens) {
  holders_.push_back({slot, space, std::move(tokens), ++uses_});
}

void Holders::remove(uint32_t slot) {
  const auto isThere = [&](const Holder& holder) { return holder.slot == slot; };
  holders_.erase(std::remove_if(holders_.begin(), holders_.end(), isThere), holders_.end());
}

const Holder* Holders::in(uint32_t slot) const {
  for (const Holder& holder : holders_) {
    if (holder.slot == slot) return &holder;
  }
  return nullptr;
}

std::optional<uint32_t> Holders::oldest() const {
  if (holders_.empty()) return std::nullopt;
  return holders_.front().slot;
}

uint64_t Holders::cells() const {
  uint64_t sum = 0;
  for (const Holder& holder : holders_) sum += holder.tokens.size();
  return sum;
}

}  // namespace llamaestro
