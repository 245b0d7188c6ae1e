#include "plan-cache.h"

#include "device-ids.h"
#include "file-identity.h"

namespace llamaestro {
namespace {

constexpr size_t kMaxFiles = 64;
constexpr size_t kMaxSimulations = 512;

BoundedCache<GgufSummary>& files() {
  static BoundedCache<GgufSummary> cache(kMaxFiles);
  return cache;
}

BoundedCache<Simulated>& simulations() {
  static BoundedCache<Simulated> cache(kMaxSimulations);
  return cache;
}

uint64_t runs = 0;

}  // namespace

Result<GgufSummary> checkGgufOnce(const std::string& path) {
  const auto isNow = [&](const GgufSummary& summary) {
    return summary.identity == identityOf(ggufParts(path, summary.splitCount));
  };
  const GgufSummary* known = files().find(path);
  if (known != nullptr && isNow(*known)) return *known;
  Result<GgufSummary> checked = checkGguf(path);
  if (checked.ok() && isNow(checked.value())) files().put(path, checked.value());
  return checked;
}

const Simulated* findSimulated(const std::string& key) { return simulations().find(key); }

void keepSimulated(const std::string& key, Simulated simulated) {
  ++runs;
  simulations().put(key, std::move(simulated));
}

uint64_t simulationsRun() { return runs; }

std::string simulationKey(const std::string& identity, const LoadSettings& settings, const ContextShape& shape,
                          const DeviceChoice& choice, uint32_t gpuLayers) {
  std::string key = settings.file + "|" + identity;
  const auto add = [&](auto value) { key += "|" + std::to_string(value); };
  add(static_cast<int>(settings.purpose));
  add(settings.kvTypeK);
  add(settings.kvTypeV);
  add(static_cast<int>(settings.flashAttention));
  add(static_cast<int>(settings.splitMode));
  add(settings.cpuMoeLayers);
  add(shape.sequences);
  add(shape.cells);
  add(shape.batchTokens);
  add(shape.outputs);
  add(static_cast<int>(shape.unified));
  add(static_cast<int>(shape.pooled));
  add(shape.pooling);
  add(gpuLayers);
  for (const TensorOverride& one : settings.tensorOverrides)
    key += "|" + std::to_string(one.pattern.size()) + one.pattern + one.device;
  for (ggml_backend_dev_t device : choice.devices) key += "|" + deviceId(device);
  for (const float share : choice.split) add(share);
  return key;
}

}  // namespace llamaestro
