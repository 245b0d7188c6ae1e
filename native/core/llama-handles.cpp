#include "llama-handles.h"

#include <algorithm>
#include <cstring>

namespace llamaestro {
namespace {

llama_model_kv_override overrideFor(const std::string& key) {
  llama_model_kv_override one{};
  strncpy(one.key, key.c_str(), sizeof(one.key) - 1);
  return one;
}

// llama.cpp puts the matrices of latent attention into the packed form of AMX, which then cannot multiply what the
// graph has for them, and ends the process.
bool packsForAmx() {
  ggml_backend_dev_t cpu = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
  if (cpu == nullptr) return false;
  const auto list = reinterpret_cast<ggml_backend_dev_get_extra_bufts_t>(
      ggml_backend_reg_get_proc_address(ggml_backend_dev_backend_reg(cpu), "ggml_backend_dev_get_extra_bufts"));
  if (list == nullptr) return false;
  for (ggml_backend_buffer_type_t* type = list(cpu); type != nullptr && *type != nullptr; ++type) {
    if (strcmp(ggml_backend_buft_name(*type), "AMX") == 0) return true;
  }
  return false;
}

}  // namespace

ModelParams::ModelParams(const LoadSettings& settings, const GgufSummary& file, const DeviceChoice& choice,
                         uint32_t gpuLayers)
    : params(llama_model_default_params()) {
  params.n_gpu_layers = static_cast<int32_t>(gpuLayers);
  params.load_mode = settings.mmap ? LLAMA_LOAD_MODE_MMAP : LLAMA_LOAD_MODE_NONE;
  params.lazy_mode = LLAMA_LAZY_MODE_OFF;
  params.vocab_only = settings.purpose == Purpose::Vocab;
  if (file.hasLatentMatrices && packsForAmx()) params.use_extra_bufts = false;
  const bool namesDevice = std::any_of(settings.tensorOverrides.begin(), settings.tensorOverrides.end(),
                                       [](const TensorOverride& one) { return one.device != "cpu"; });
  if (gpuLayers > 0 || namesDevice) devices_ = choice.devices;
  devices_.push_back(nullptr);
  params.devices = devices_.data();
  params.split_mode = settings.splitMode == SplitMode::Row ? LLAMA_SPLIT_MODE_ROW : LLAMA_SPLIT_MODE_LAYER;
  split_ = choice.split;
  split_.resize(llama_max_devices(), 0);
  if (!choice.split.empty()) params.tensor_split = split_.data();
  placeTensors(settings, choice);
}

// The first pattern that matches decides, so the caller's come before ours.
void ModelParams::placeTensors(const LoadSettings& settings, const DeviceChoice& choice) {
  patterns_.reserve(settings.tensorOverrides.size() + 1);
  for (const TensorOverride& one : settings.tensorOverrides) {
    patterns_.push_back(one.pattern);
    places_.push_back({patterns_.back().c_str(), overrideBuffer(one, choice)});
  }
  if (settings.cpuMoeLayers > 0) {
    std::string layers;
    for (uint32_t layer = 0; layer < settings.cpuMoeLayers; ++layer) {
      layers += (layer == 0 ? "" : "|") + std::to_string(layer);
    }
    patterns_.push_back("^blk\\.(" + layers + ")\\.ffn_(up|down|gate|gate_up)_(ch|)exps");
    places_.push_back({patterns_.back().c_str(), ggml_backend_cpu_buffer_type()});
  }
  if (places_.empty()) return;
  places_.push_back({nullptr, nullptr});
  params.tensor_buft_overrides = places_.data();
}

void ModelParams::simulate(const GgufSummary& file, bool withVocabulary) {
  params.no_alloc = true;
  params.load_mode = LLAMA_LOAD_MODE_NONE;
  const std::string sizeKey = file.architecture + ".vocab_size";
  if (withVocabulary || file.vocabSize == 0 || sizeKey.size() >= sizeof(llama_model_kv_override::key)) return;
  llama_model_kv_override kind = overrideFor("tokenizer.ggml.model");
  kind.tag = LLAMA_KV_OVERRIDE_TYPE_STR;
  strcpy(kind.val_str, "none");
  llama_model_kv_override size = overrideFor(sizeKey);
  size.tag = LLAMA_KV_OVERRIDE_TYPE_INT;
  size.val_i64 = file.vocabSize;
  overrides_ = {kind, size, llama_model_kv_override{}};
  params.kv_overrides = overrides_.data();
}

llama_context_params contextParams(const LoadSettings& settings, const ContextShape& shape, uint32_t threads) {
  llama_context_params params = llama_context_default_params();
  params.n_ctx = shape.cells;
  params.n_batch = shape.batchTokens;
  params.n_ubatch = shape.batchTokens;
  params.n_seq_max = shape.sequences;
  params.n_outputs_max = shape.outputs;
  params.n_threads = static_cast<int32_t>(threads);
  params.n_threads_batch = static_cast<int32_t>(threads);
  params.type_k = static_cast<ggml_type>(settings.kvTypeK);
  params.type_v = static_cast<ggml_type>(settings.kvTypeV);
  params.kv_unified = shape.unified;
  params.embeddings = shape.pooled;
  params.pooling_type = static_cast<enum llama_pooling_type>(shape.pooling);
  params.no_perf = true;
  switch (settings.flashAttention) {
    case FlashAttention::Auto:
      params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_AUTO;
      break;
    case FlashAttention::On:
      params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_ENABLED;
      break;
    case FlashAttention::Off:
      params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
      break;
  }
  return params;
}

}  // namespace llamaestro
