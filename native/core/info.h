// What the core says about itself: devices, memory plans, models, counters. Plain data in the spelling and units of
// src/engine/engine.ts; all byte counts fit a double exactly. Knows nothing of llama.cpp.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace llamaestro {

struct DeviceInfo {
  std::string id;    // cpu, cuda0, metal0, vulkan0
  std::string kind;  // cpu | cuda | metal | vulkan | other
  std::string description;
  uint64_t totalBytes = 0;
  uint64_t freeBytes = 0;  // CPU: min(MemAvailable, what the cgroup still allows)
};

struct DeviceMemory {
  std::string device;  // id of a DeviceInfo
  uint64_t weightsBytes = 0;
  uint64_t kvBytes = 0;
  uint64_t computeBytes = 0;
};

struct MemoryPlan {
  std::vector<DeviceMemory> devices;  // GPUs first, the CPU last; devices without a byte are left out
  uint64_t outputBytes = 0;
  uint64_t estimatedExtraBytes = 0;
  uint64_t totalBytes = 0;        // sum of everything above
  uint64_t prefixCacheBytes = 0;  // what the prefix cache may grow to in host memory, beside the total
  uint32_t contextTokens = 0;
  uint32_t contextTokensPerSlot = 0;
  uint32_t slots = 0;
  uint32_t gpuLayers = 0;
  double simulatedMs = 0;      // 0 for a read-back
  bool sharesWeights = false;  // they are counted in another engine of this process
};

// The bytes of one device: planned, held by the buffers, and gone from the system since before the load.
struct DeviceObservation {
  std::string device;
  uint64_t plannedBytes = 0;
  uint64_t allocatedBytes = 0;
  bool isObserved = false;
  int64_t observedBytes = 0;
};

// MemoryReport of engine.ts.
struct MemoryReport : MemoryPlan {
  std::vector<DeviceObservation> observed;
};

// EngineInfo of engine.ts (ModelInfo and what the load resolved).
struct EngineInfo {
  std::string name;
  std::string architecture;
  std::string file;
  uint64_t fileBytes = 0;
  uint64_t parameterCount = 0;
  uint32_t vocabSize = 0;
  uint32_t trainedContextTokens = 0;
  uint32_t embeddingLength = 0;
  uint32_t layers = 0;
  bool hasChatTemplate = false;
  std::string quantisation;
  std::string purpose;
  uint32_t contextTokens = 0;
  uint32_t contextTokensPerSlot = 0;
  uint32_t slots = 0;
  uint32_t threads = 0;
  uint32_t chunkTokens = 0;
  double loadMs = 0;
  std::vector<std::string> adapters;  // names
};

// PrefixFileSummary of engine.ts.
struct PrefixFileSummary {
  uint32_t prefixes = 0;
  uint64_t tokens = 0;
  uint64_t bytes = 0;
};

// EngineStats of engine.ts.
struct EngineStats {
  uint64_t steps = 0;
  uint32_t running = 0;
  uint32_t waiting = 0;
  uint64_t promptTokens = 0;
  uint64_t generatedTokens = 0;
  uint64_t cachedTokens = 0;
  uint64_t inPlaceTokens = 0;
  uint64_t prefixHits = 0;
  uint64_t prefixBlocks = 0;
  uint64_t prefixBytes = 0;
  uint64_t parked = 0;
  uint32_t threads = 0;
  uint32_t cellsCounted = 0;
  uint32_t cellsRecounted = 0;
  uint32_t cellsHeld = 0;
  double stalledMs = 0;
};

}  // namespace llamaestro
