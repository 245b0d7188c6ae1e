// Internal: how many of its threads a context computes the next call with (see ThreadGovernor). Only where that changes
// no bit: llama.cpp's attention kernels on the CPU share a long range of cells of one lonely token out to the threads
// and add their parts up, so that those calls always get all. Idle threads of the pool sleep. Decode thread only.
#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

#include "counters.h"
#include "llama.h"
#include "thread-governor.h"

namespace llamaestro {

struct DecodeRow;

class StepThreads {
 public:
  // `governs`: the CPU computes; else the context keeps what it has.
  StepThreads(llama_context* context, bool governs, Counters& counters);

  // Before and after each call that is computed to its end.
  void begin(const std::vector<DecodeRow>& rows);
  void end();

 private:
  bool mayVary(const std::vector<DecodeRow>& rows) const;
  void use(uint32_t threads);

  llama_context* context_;
  const uint32_t most_;
  const bool governs_;
  const uint32_t lonelyTokens_;  // a lonely token may see so many before its sum depends on the threads
  Counters& counters_;
  ThreadGovernor governor_;
  uint32_t inUse_;
  uint32_t rows_ = 0;  // of the call under way; 0: its threads are not the governor's
  std::chrono::steady_clock::time_point beganAt_{};
};

}  // namespace llamaestro
