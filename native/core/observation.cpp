#include "observation.h"

#include <algorithm>

#include "device-ids.h"
#include "host-limits.h"

namespace llamaestro {
namespace {

uint64_t freeBytes(ggml_backend_dev_t device) {
  size_t free = 0;
  size_t total = 0;
  ggml_backend_dev_memory(device, &free, &total);
  return free;
}

uint64_t bytesOn(const std::string& id, const MemoryPlan& plan) {
  uint64_t bytes = id == "cpu" ? plan.outputBytes + plan.estimatedExtraBytes : 0;
  for (const DeviceMemory& device : plan.devices) {
    if (device.device == id) bytes += device.weightsBytes + device.kvBytes + device.computeBytes;
  }
  return bytes;
}

}  // namespace

MemoryWatch::MemoryWatch(const DeviceChoice& choice) : privateBefore_(readPrivateBytes()) {
  for (ggml_backend_dev_t device : choice.devices) freeBefore_.emplace_back(device, freeBytes(device));
}

std::vector<DeviceObservation> MemoryWatch::compare(const MemoryPlan& planned, const MemoryPlan& allocated) const {
  std::vector<DeviceObservation> rows;
  const auto add = [&](const std::string& id, bool isSeen, int64_t taken) {
    DeviceObservation row{id, bytesOn(id, planned), bytesOn(id, allocated), isSeen, taken};
    if (row.plannedBytes + row.allocatedBytes > 0) rows.push_back(row);
  };
  for (const auto& [device, before] : freeBefore_) {
    add(deviceId(device), before > 0, static_cast<int64_t>(before) - static_cast<int64_t>(freeBytes(device)));
  }
  add("cpu", privateBefore_ > 0, static_cast<int64_t>(readPrivateBytes()) - static_cast<int64_t>(privateBefore_));
  return rows;
}

}  // namespace llamaestro
