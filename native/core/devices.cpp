#include "devices.h"

#include <algorithm>

#include "device-ids.h"
#include "host-limits.h"
#include "log-hub.h"

namespace llamaestro {
namespace {

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return static_cast<char>(tolower(c)); });
  return text;
}

std::string kindOf(ggml_backend_dev_t device) {
  if (ggml_backend_dev_type(device) == GGML_BACKEND_DEVICE_TYPE_CPU) return "cpu";
  const std::string backend = lower(ggml_backend_reg_name(ggml_backend_dev_backend_reg(device)));
  if (backend == "cuda" || backend == "vulkan") return backend;
  if (backend == "metal" || backend == "mtl") return "metal";
  return "other";
}

bool hasOwnMemory(ggml_backend_dev_t device) {
  const auto type = ggml_backend_dev_type(device);
  return type == GGML_BACKEND_DEVICE_TYPE_GPU || type == GGML_BACKEND_DEVICE_TYPE_IGPU;
}

}  // namespace

std::vector<ggml_backend_dev_t> gpuDevices() {
  std::vector<ggml_backend_dev_t> found;
  for (size_t i = 0; i < ggml_backend_dev_count(); ++i) {
    if (hasOwnMemory(ggml_backend_dev_get(i))) found.push_back(ggml_backend_dev_get(i));
  }
  return found;
}

std::string deviceId(ggml_backend_dev_t device) {
  if (device == nullptr || !hasOwnMemory(device)) return "cpu";
  const std::string kind = kindOf(device);
  int index = 0;
  for (ggml_backend_dev_t other : gpuDevices()) {
    if (other == device) break;
    if (kindOf(other) == kind) ++index;
  }
  return kind + std::to_string(index);
}

Result<std::vector<DeviceInfo>> listDevices() {
  return guarded<std::vector<DeviceInfo>>([] {
    installLogHub();
    std::vector<DeviceInfo> devices;
    for (ggml_backend_dev_t device : gpuDevices()) {
      size_t freeBytes = 0;
      size_t totalBytes = 0;
      ggml_backend_dev_memory(device, &freeBytes, &totalBytes);
      devices.push_back(
          {deviceId(device), kindOf(device), ggml_backend_dev_description(device), totalBytes, freeBytes});
    }
    ggml_backend_dev_t cpu = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
    const char* description = cpu != nullptr ? ggml_backend_dev_description(cpu) : "CPU";
    devices.push_back({"cpu", "cpu", description, hostTotalBytes(), hostFreeBytes()});
    return devices;
  });
}

std::string buildDescription() {
  return std::string("llama.cpp ") + LLAMAESTRO_LLAMA_TAG + ", llamaestro " + LLAMAESTRO_VERSION + ", " +
         LLAMAESTRO_BACKEND;
}

uint64_t hostFreeBytes() { return readHostMemory().freeBytes; }
uint64_t hostTotalBytes() { return readHostMemory().totalBytes; }
uint32_t physicalCoresAllowed() { return readCoresAllowed(); }

}  // namespace llamaestro
