#include "device-choice.h"

#include <algorithm>
#include <cmath>
#include <memory>

#include "device-ids.h"
#include "error.h"
#include "ggml-cpu.h"

namespace llamaestro {
namespace {

constexpr float kShares = 64;  // coarse, so that a few bytes more or less free do not move a layer

[[noreturn]] void refuse(const char* field, const std::string& message) {
  throw Failure(codes::kInvalidRequest, message, field);
}

std::string namesOf(const std::vector<ggml_backend_dev_t>& devices) {
  std::string names;
  for (ggml_backend_dev_t device : devices) names += (names.empty() ? "" : ", ") + deviceId(device);
  return names.empty() ? "none" : names;
}

ggml_backend_dev_t find(const std::vector<ggml_backend_dev_t>& devices, const std::string& id, const char* field) {
  for (ggml_backend_dev_t device : devices) {
    if (deviceId(device) == id) return device;
  }
  refuse(field, "there is no device " + id + " to use; there are: " + namesOf(devices));
}

std::vector<ggml_backend_dev_t> wantedDevices(const LoadSettings& settings) {
  const std::vector<ggml_backend_dev_t> all = gpuDevices();
  std::vector<ggml_backend_dev_t> wanted = all;
  if (settings.devices) {
    wanted.clear();
    for (const std::string& id : *settings.devices) wanted.push_back(find(all, id, "devices"));
  }
  if (settings.splitMode == SplitMode::None && !wanted.empty()) {
    ggml_backend_dev_t main =
        settings.mainDevice.empty() ? wanted.front() : find(wanted, settings.mainDevice, "mainDevice");
    wanted = {main};
  }
  return wanted;
}

void refuseRowSplit(const std::vector<ggml_backend_dev_t>& devices) {
  for (ggml_backend_dev_t device : devices) {
    ggml_backend_reg_t backend = ggml_backend_dev_backend_reg(device);
    if (ggml_backend_reg_get_proc_address(backend, "ggml_backend_split_buffer_type") == nullptr) {
      refuse("splitMode", deviceId(device) + " cannot split rows in this llama.cpp: use splitMode layer");
    }
  }
}

std::vector<float> sharesOf(const LoadSettings& settings, const std::vector<ggml_backend_dev_t>& devices) {
  if (!settings.tensorSplit.empty() && settings.tensorSplit.size() != devices.size()) {
    refuse("tensorSplit", "tensorSplit has " + std::to_string(settings.tensorSplit.size()) + " shares for " +
                              std::to_string(devices.size()) + " devices (" + namesOf(devices) + ")");
  }
  if (devices.size() < 2) return {};
  if (!settings.tensorSplit.empty()) return settings.tensorSplit;
  std::vector<float> shares;
  float sum = 0;
  for (ggml_backend_dev_t device : devices) {
    size_t freeBytes = 0;
    size_t totalBytes = 0;
    ggml_backend_dev_memory(device, &freeBytes, &totalBytes);
    shares.push_back(static_cast<float>(freeBytes));
    sum += shares.back();
  }
  for (float& share : shares) share = sum > 0 ? std::round(kShares * share / sum) : 1;
  return shares;
}

struct ContextDeleterOfGgml {
  void operator()(ggml_context* context) const { ggml_free(context); }
};

// Whether `device` itself computes attention over a cache of these types.
bool hasKernel(ggml_backend_dev_t device, const LoadSettings& settings, const GgufSummary& file) {
  constexpr int64_t kQueries = 64;
  constexpr int64_t kCells = 256;
  const auto fits = [](uint32_t length, int type) {
    return length > 0 && length % ggml_blck_size(static_cast<ggml_type>(type)) == 0;
  };
  // Shapes that ggml would end the process for are left to llama.cpp, which refuses them.
  const bool isGrouped = file.keyValueHeads > 0 && file.heads % file.keyValueHeads == 0;
  if (!isGrouped || !fits(file.keyLength, settings.kvTypeK) || !fits(file.valueLength, settings.kvTypeV)) return true;
  ggml_init_params params{8 * ggml_tensor_overhead(), nullptr, true};
  const std::unique_ptr<ggml_context, ContextDeleterOfGgml> context(ggml_init(params));
  if (!context) return true;
  const auto typeK = static_cast<ggml_type>(settings.kvTypeK);
  const auto typeV = static_cast<ggml_type>(settings.kvTypeV);
  ggml_tensor* q = ggml_new_tensor_3d(context.get(), GGML_TYPE_F32, file.keyLength, kQueries, file.heads);
  ggml_tensor* k = ggml_new_tensor_3d(context.get(), typeK, file.keyLength, kCells, file.keyValueHeads);
  ggml_tensor* v = ggml_new_tensor_3d(context.get(), typeV, file.valueLength, kCells, file.keyValueHeads);
  ggml_tensor* mask = ggml_new_tensor_2d(context.get(), GGML_TYPE_F16, kCells, kQueries);
  const float scale = 1 / std::sqrt(static_cast<float>(file.keyLength));
  ggml_tensor* attention = ggml_flash_attn_ext(context.get(), q, k, v, mask, scale, 0, 0);
  return ggml_backend_dev_supports_op(device, attention);
}

}  // namespace

std::string DeviceChoice::kind() const {
  std::string kind = devices.empty() ? "" : deviceId(devices.front());
  kind.erase(std::find_if(kind.begin(), kind.end(), [](char c) { return c >= '0' && c <= '9'; }), kind.end());
  return kind;
}

DeviceChoice chooseDevices(const LoadSettings& settings) {
  DeviceChoice choice;
  choice.devices = wantedDevices(settings);
  if (settings.splitMode == SplitMode::Row) refuseRowSplit(choice.devices);
  choice.split = sharesOf(settings, choice.devices);
  for (const TensorOverride& one : settings.tensorOverrides) overrideBuffer(one, choice);
  if (settings.gpuLayers.value_or(1) == 0 || settings.purpose == Purpose::Vocab) {
    const bool namesDevice = std::any_of(settings.tensorOverrides.begin(), settings.tensorOverrides.end(),
                                         [](const TensorOverride& one) { return one.device != "cpu"; });
    if (namesDevice) refuse("tensorOverrides", "tensorOverrides can name a device only when layers lie there");
    return {};
  }
  return choice;
}

ggml_backend_buffer_type_t overrideBuffer(const TensorOverride& one, const DeviceChoice& choice) {
  if (one.device == "cpu") return ggml_backend_cpu_buffer_type();
  return ggml_backend_dev_buffer_type(find(choice.devices, one.device, "tensorOverrides"));
}

bool computesOnCpu(const LoadSettings& settings, const GgufSummary& file, uint32_t gpuLayers) {
  const auto isCpu = [](const TensorOverride& one) { return one.device == "cpu"; };
  return gpuLayers <= file.blockCount || settings.cpuMoeLayers > 0 ||
         std::any_of(settings.tensorOverrides.begin(), settings.tensorOverrides.end(), isCpu);
}

void refuseCacheWithoutKernel(const LoadSettings& settings, const GgufSummary& file, const DeviceChoice& choice) {
  // Where llama.cpp is free to choose, it leaves the kernel out by itself; a quantised V leaves it no choice.
  const bool isForced =
      settings.flashAttention == FlashAttention::On ||
      (settings.flashAttention == FlashAttention::Auto && ggml_is_quantized(static_cast<ggml_type>(settings.kvTypeV)));
  if (!isForced || file.heads == 0 || file.keyLength == 0) return;
  for (ggml_backend_dev_t device : choice.devices) {
    if (hasKernel(device, settings, file)) continue;
    const std::string typeK = ggml_type_name(static_cast<ggml_type>(settings.kvTypeK));
    const std::string typeV = ggml_type_name(static_cast<ggml_type>(settings.kvTypeV));
    refuse(ggml_is_quantized(static_cast<ggml_type>(settings.kvTypeK)) ? "kvTypeK" : "kvTypeV",
           deviceId(device) + " has no flash attention for keys of type " + typeK + ", values of type " + typeV +
               " and heads of " + std::to_string(file.keyLength) + ": attention would run on the CPU");
  }
}

}  // namespace llamaestro
