#include "spoil-watch.h"

namespace llamaestro {

void SpoilWatch::sawNumbers(uint64_t space) {
  if (!isUnknown(space)) return;
  if (known_.size() >= kMostKnown) known_.clear();
  known_.insert(space);
}

void SpoilWatch::sawNoNumber(uint64_t space) {
  known_.erase(space);
  spoiled_ = true;
}

}  // namespace llamaestro
