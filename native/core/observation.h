// Internal: what the system shows of an engine's memory, beside what was planned and what the buffers hold. An
// observation, never a proof: others take and give memory meanwhile, and pages count once they are touched.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "device-choice.h"
#include "info.h"

namespace llamaestro {

class MemoryWatch {
 public:
  // Notes what is free now; made right before the load.
  explicit MemoryWatch(const DeviceChoice& choice);

  // One row for each device of either plan. Safe from any thread; asks the backends.
  std::vector<DeviceObservation> compare(const MemoryPlan& planned, const MemoryPlan& allocated) const;

 private:
  std::vector<std::pair<ggml_backend_dev_t, uint64_t>> freeBefore_;
  uint64_t privateBefore_ = 0;
};

}  // namespace llamaestro
