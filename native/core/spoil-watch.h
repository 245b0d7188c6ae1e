// Internal and pure: whether numbers that are none may lie in cells that others will have. An attention multiplies what
// it masks by zero, and zero times NaN is NaN: whatever a sequence that computed such numbers leaves behind spoils
// those that sit beside it or come after it. Knows which adapter sets have shown finite numbers, and no cells.
#pragma once

#include <cstdint>
#include <set>

#include "adapter-set.h"

namespace llamaestro {

class SpoilWatch {
 public:
  // Sets that are known at a time; beyond it all are looked at again.
  static constexpr size_t kMostKnown = 1024;

  // True for adapters none of whose results was finite yet: each of their calls must be looked at before anything else
  // is computed. What has no adapters is trusted until it shows otherwise.
  bool isUnknown(uint64_t space) const { return space != kNoAdapters && known_.count(space) == 0; }

  void sawNumbers(uint64_t space);
  // A result that is no number; or a call that ended without one, where the set is unknown.
  void sawNoNumber(uint64_t space);

  // True until the cells were cleared, every byte of them.
  bool isSpoiled() const { return spoiled_; }
  void cleared() { spoiled_ = false; }

 private:
  std::set<uint64_t> known_;
  bool spoiled_ = false;
};

}  // namespace llamaestro
