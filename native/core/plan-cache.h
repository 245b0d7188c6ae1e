// Internal: what earlier simulations and header checks found, so that planning the same load again costs a few stats.
// Bounded, oldest out first. Everything here is called with loadMutex held.
#pragma once

#include <cstdint>
#include <list>
#include <string>
#include <utility>
#include <vector>

#include "device-choice.h"
#include "gguf-check.h"
#include "info.h"
#include "load-settings.h"

namespace llamaestro {

template <typename Value>
class BoundedCache {
 public:
  explicit BoundedCache(size_t limit) : limit_(limit) {}
  // Null when it is not there; valid until the next put.
  const Value* find(const std::string& key) const {
    for (const auto& [known, value] : entries_) {
      if (known == key) return &value;
    }
    return nullptr;
  }
  void put(std::string key, Value value) {
    entries_.remove_if([&](const auto& entry) { return entry.first == key; });
    if (entries_.size() == limit_) entries_.pop_front();
    entries_.emplace_back(std::move(key), std::move(value));
  }

 private:
  size_t limit_;
  std::list<std::pair<std::string, Value>> entries_;
};

// Bytes that one simulation found.
struct Simulated {
  std::vector<DeviceMemory> devices;
  uint64_t outputBytes = 0;
};

// As checkGguf, without reading a file again whose parts have not changed (see file-identity.h). What changes while it
// is read is read again the next time.
Result<GgufSummary> checkGgufOnce(const std::string& path);

// Null when nothing was simulated with exactly these values.
const Simulated* findSimulated(const std::string& key);
void keepSimulated(const std::string& key, Simulated simulated);

// Names everything that a simulation depends on. `identity` is that of all files.
std::string simulationKey(const std::string& identity, const LoadSettings& settings, const ContextShape& shape,
                          const DeviceChoice& choice, uint32_t gpuLayers);

// Simulations that were kept since the process began.
uint64_t simulationsRun();

}  // namespace llamaestro
