#include "plan-cache.h"

#include <sys/stat.h>

#include "device-ids.h"

namespace llamaestro {
namespace {

constexpr size_t kMaxFiles = 64;
constexpr size_t kMaxSimulations = 512;

struct CheckedFile {
  GgufSummary summary;
  std::string identity;
};

BoundedCache<CheckedFile>& files() {
  static BoundedCache<CheckedFile> cache(kMaxFiles);
  return cache;
}

BoundedCache<Simulated>& simulations() {
  static BoundedCache<Simulated> cache(kMaxSimulations);
  return cache;
}

uint64_t runs = 0;

// Empty when a part is not there.
std::string identityOf(const std::vector<std::string>& parts) {
  std::string identity;
  for (const std::string& part : parts) {
    struct stat info {};
    if (stat(part.c_str(), &info) != 0) return {};
#ifdef __APPLE__
    const timespec changed = info.st_mtimespec;
#else
    const timespec changed = info.st_mtim;
#endif
    for (const uint64_t number :
         {static_cast<uint64_t>(info.st_dev), static_cast<uint64_t>(info.st_ino), static_cast<uint64_t>(info.st_size),
          static_cast<uint64_t>(changed.tv_sec), static_cast<uint64_t>(changed.tv_nsec)}) {
      identity += std::to_string(number) + ".";
    }
  }
  return identity;
}

}  // namespace

Result<GgufSummary> checkGgufOnce(const std::string& path, std::string& identity) {
  if (const CheckedFile* known = files().find(path)) {
    identity = identityOf(ggufParts(path, known->summary.splitCount));
    if (!identity.empty() && identity == known->identity) return known->summary;
  }
  // Asked before the check: a file that changes meanwhile is then checked again next time.
  const std::string before = identityOf({path});
  Result<GgufSummary> checked = checkGguf(path);
  if (!checked.ok()) return checked;
  identity = identityOf(ggufParts(path, checked.value().splitCount));
  if (!before.empty() && identity.compare(0, before.size(), before) == 0)
    files().put(path, {checked.value(), identity});
  return checked;
}

std::string fileIdentity(const std::string& path) { return identityOf({path}); }

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
