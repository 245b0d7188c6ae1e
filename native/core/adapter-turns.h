// Internal and pure: whose turn it is when sequences with different adapter sets run: one decode call computes one set
// only. Knows no sequences and no clock.
#pragma once

#include <cstdint>
#include <vector>

#include "adapter-set.h"

namespace llamaestro {

class AdapterTurns {
 public:
  // A change of sets makes llama.cpp reserve its graphs anew, which costs as much as a few steps.
  static constexpr uint32_t kStepsPerTurn = 16;
  // What the turns of all others together take, as long as their steps let them: a chunk of a prompt alone may take
  // half of it.
  static constexpr double kMostSilentMs = 500;

  // The set of the next step, out of those of all that run (one at least). A set keeps its turn for kStepsPerTurn steps
  // while others wait, and for fewer where these take long, one at least; then the next one in the order of their
  // numbers has it, so each one's turn comes round.
  uint64_t next(const std::vector<uint64_t>& present);
  // What the step took that `next` was asked for.
  void spent(double ms);

 private:
  bool mayGoOn(const std::vector<uint64_t>& present) const;

  uint64_t current_ = kNoAdapters;
  uint32_t left_ = 0;  // steps of this turn
  double turnMs_ = 0;  // what those before it took
  double stepMs_ = 0;  // and the last one of them
};

}  // namespace llamaestro
