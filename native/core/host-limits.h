// What the operating system lets this process use: memory (machine and cgroups) and cores (affinity, cgroup quota).
// Reads /proc and /sys on Linux, sysctl on macOS; knows nothing of models.
#pragma once

#include <cstdint>

namespace llamaestro {

struct HostMemory {
  uint64_t totalBytes = 0;
  uint64_t freeBytes = 0;
};

// Free: the smaller of MemAvailable and limit minus use of each enclosing cgroup (page cache that can be dropped counts
// as free). Total: the smaller of the machine's memory and the tightest limit.
HostMemory readHostMemory();

// Private memory of this process that is in RAM; 0 where the system does not say.
uint64_t readPrivateBytes();

// Physical cores of the affinity mask, at most the CPU quota of the cgroups rounded up; at least 1.
uint32_t readCoresAllowed();

}  // namespace llamaestro
