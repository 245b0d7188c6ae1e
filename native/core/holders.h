// Internal and pure: what finished sequences have left in the cache of their slots, for a prompt that goes on from it.
// Knows tokens and ages; whether a prompt may go on, and the cells themselves, are others' business.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace llamaestro {

struct Holder {
  uint32_t slot = 0;
  uint64_t space = 0;           // adapter set, see AdapterSet
  std::vector<int32_t> tokens;  // whose cells are there, from position 0 on
  uint64_t lastUse = 0;         // grows with every one; never 0
};

// At most one for each slot.
class Holders {
 public:
  // The slot must have none.
  void add(uint32_t slot, uint64_t space, std::vector<int32_t> tokens);
  // Nothing happens where there is none.
  void remove(uint32_t slot);

  // Null where nothing is. Good until the next change.
  const Holder* in(uint32_t slot) const;
  const std::vector<Holder>& all() const { return holders_; }
  bool empty() const { return holders_.empty(); }
  // The one used longest ago; nothing when there are none.
  std::optional<uint32_t> oldest() const;
  // Of all of them.
  uint64_t cells() const;

 private:
  std::vector<Holder> holders_;  // oldest first
  uint64_t uses_ = 0;
};

}  // namespace llamaestro
