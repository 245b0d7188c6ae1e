// The memory devices of this process and what they have free. Touches the backends (a CUDA device gets its context on
// the first call), so the gateway never calls it.
#pragma once

#include <string>
#include <vector>

#include "error.h"
#include "info.h"

namespace llamaestro {

// GPUs in backend order, then the CPU; never empty. Safe from any thread.
Result<std::vector<DeviceInfo>> listDevices();

// "llama.cpp v0.5.0, llamaestro 0.1.0, cpu": tag, own version, backends built in.
std::string buildDescription();

// Bytes this process may still take from the host: min(MemAvailable, limit minus use of each enclosing cgroup).
uint64_t hostFreeBytes();

// Physical memory of the machine, or the cgroup limit where that is smaller.
uint64_t hostTotalBytes();

// Physical cores in this thread's affinity mask, at most what the cgroup's CPU quota allows (rounded up); at least 1.
uint32_t physicalCoresAllowed();

}  // namespace llamaestro
