// Internal and pure: whose turn it is when sequences with different adapter sets run: one decode call computes one set
// only. Knows no sequences.
#pragma once

#include <cstdint>
#include <vector>

#include "adapter-set.h"

namespace llamaestro {

class AdapterTurns {
 public:
  // A change of sets makes llama.cpp reserve its graphs anew, which costs as much as a few steps.
  static constexpr uint32_t kStepsPerTurn = 16;

  // The set of the next step, out of those of all that run (one at least). A set keeps its turn for kStepsPerTurn steps
  // while others wait; then the next one in the order of their numbers has it, so each one's turn comes round.
  uint64_t next(const std::vector<uint64_t>& present);

 private:
  uint64_t current_ = kNoAdapters;
  uint32_t left_ = 0;
};

}  // namespace llamaestro
