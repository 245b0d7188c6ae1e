#include "load-settings.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <utility>

#include "devices.h"
#include "ggml.h"
#include "llama.h"
#include "numbers.h"
#include "override-pattern.h"

namespace llamaestro {
namespace {

constexpr double kMaxContextTokens = 1 << 24;
constexpr uint32_t kDefaultTokensPerSlot = 4096;
constexpr uint32_t kMinTokensPerSlot = 2;
constexpr size_t kMaxDevices = 16;
constexpr double kMaxShare = 1e6;
constexpr double kMinShareSum = 1e-3;
constexpr double kMaxMoeLayers = 512;
constexpr uint32_t kPooledSequences = 32;
constexpr double kMaxPrefixBytes = 1099511627776.0;
constexpr uint64_t kDefaultPrefixBytes = 1 << 30;
constexpr uint64_t kDefaultPrefixShare = 16;  // of the host's memory, where that is less
constexpr uint32_t kCellGrid = 256;           // llama.cpp rounds contexts up to it

template <typename T>
T chosen(const std::string& value, const char* field, std::initializer_list<std::pair<const char*, T>> choices) {
  std::string names;
  for (const auto& [name, result] : choices) {
    if (value == name) return result;
    names += (names.empty() ? "" : ", ") + std::string(name);
  }
  throw Failure(codes::kInvalidRequest, std::string(field) + " is '" + value + "': use one of " + names, field);
}

int kvType(const std::string& name, const char* field) {
  if (name.empty()) return GGML_TYPE_F16;
  return chosen<int>(name, field,
                     {{"f32", GGML_TYPE_F32},
                      {"f16", GGML_TYPE_F16},
                      {"bf16", GGML_TYPE_BF16},
                      {"q8_0", GGML_TYPE_Q8_0},
                      {"q4_0", GGML_TYPE_Q4_0},
                      {"q4_1", GGML_TYPE_Q4_1},
                      {"q5_0", GGML_TYPE_Q5_0},
                      {"q5_1", GGML_TYPE_Q5_1}});
}

uint32_t roundUp(uint32_t value, uint32_t grid) { return (value + grid - 1) / grid * grid; }

uint32_t tokensPerSlot(const LoadSettings& settings, const GgufSummary& file) {
  if (settings.contextTokensPerSlot) return *settings.contextTokensPerSlot;
  if (settings.contextTokens) {
    const uint32_t each = *settings.contextTokens / settings.slots;
    if (each < kMinTokensPerSlot) {
      throw Failure(codes::kInvalidRequest, "contextTokens must leave at least 2 tokens for each slot",
                    "contextTokens");
    }
    return each;
  }
  const uint32_t trained = file.contextTokens >= kMinTokensPerSlot ? file.contextTokens : kDefaultTokensPerSlot;
  // The product stays below the limit of contextTokens: 256 slots of 4096.
  return std::min(trained, kDefaultTokensPerSlot);
}

// Tokens of all slots together where that is less than all of them full: they share the cells then. 0 where it is not.
uint32_t sharedTokens(const LoadSettings& settings, const ContextShape& shape) {
  const uint32_t each = settings.contextTokensPerSlot.value_or(0);
  const uint32_t all = settings.contextTokens.value_or(0);
  if (all == 0 || uint64_t{each} * settings.slots <= all) return 0;
  if (each > all) {
    throw Failure(codes::kInvalidRequest, "contextTokensPerSlot must not be more than contextTokens",
                  "contextTokensPerSlot");
  }
  if (shape.pooled || !shape.unified) {
    throw Failure(codes::kInvalidRequest,
                  "slots that may hold more than their part of contextTokens need kvLayout 'unified' and purpose "
                  "'generate'",
                  "contextTokensPerSlot");
  }
  return all;
}

int poolingFor(const LoadSettings& settings, const GgufSummary& file) {
  if (settings.purpose == Purpose::Rerank) {
    if (!file.hasRankHead) {
      throw Failure(codes::kModelUnusable, settings.file + " is not a reranker: it has no classifier", "purpose");
    }
    return LLAMA_POOLING_TYPE_RANK;
  }
  if (settings.purpose != Purpose::Embed) return LLAMA_POOLING_TYPE_NONE;
  if (file.poolingType == LLAMA_POOLING_TYPE_RANK) {
    throw Failure(codes::kModelUnusable, settings.file + " is a reranker, not an embedder", "purpose");
  }
  if (settings.pooling) return *settings.pooling;
  return file.poolingType <= LLAMA_POOLING_TYPE_NONE ? LLAMA_POOLING_TYPE_MEAN : file.poolingType;
}

void checkDeviceId(const std::string& id, const char* field) {
  constexpr size_t kMaxIdBytes = 32;
  if (id.empty() || id.size() > kMaxIdBytes) {
    throw Failure(codes::kInvalidRequest, std::string(field) + " must name devices by their ids", field);
  }
}

void resolveDevices(const LoadOptions& options, LoadSettings& settings) {
  if (options.devices) {
    if (options.devices->size() > kMaxDevices) {
      throw Failure(codes::kInvalidRequest, "devices names more than 16", "devices");
    }
    for (size_t i = 0; i < options.devices->size(); ++i) {
      const std::string& id = (*options.devices)[i];
      checkDeviceId(id, "devices");
      if (std::find(options.devices->begin(), options.devices->begin() + static_cast<ptrdiff_t>(i), id) !=
          options.devices->begin() + static_cast<ptrdiff_t>(i)) {
        throw Failure(codes::kInvalidRequest, "devices names " + id + " twice", "devices");
      }
    }
    settings.devices = options.devices;
  }
  if (!options.splitMode.empty()) {
    settings.splitMode =
        chosen<SplitMode>(options.splitMode, "splitMode",
                          {{"none", SplitMode::None}, {"layer", SplitMode::Layer}, {"row", SplitMode::Row}});
  }
  settings.mainDevice = options.mainDevice;
  if (!settings.mainDevice.empty()) {
    checkDeviceId(settings.mainDevice, "mainDevice");
    if (settings.splitMode != SplitMode::None) {
      throw Failure(codes::kInvalidRequest, "mainDevice needs splitMode none", "mainDevice");
    }
  }
}

void resolvePlaces(const LoadOptions& options, LoadSettings& settings) {
  if (options.tensorSplit.size() > kMaxDevices) {
    throw Failure(codes::kInvalidRequest, "tensorSplit has more than 16 shares", "tensorSplit");
  }
  double sum = 0;
  for (const double share : options.tensorSplit) {
    if (!(share >= 0 && share <= kMaxShare)) {
      throw Failure(codes::kInvalidRequest, "the shares of tensorSplit must be numbers from 0 to 1000000",
                    "tensorSplit");
    }
    sum += share;
    settings.tensorSplit.push_back(static_cast<float>(share));
  }
  if (!options.tensorSplit.empty() && !(sum >= kMinShareSum)) {
    throw Failure(codes::kInvalidRequest, "the shares of tensorSplit must not all be zero", "tensorSplit");
  }
  settings.cpuMoeLayers = wholeNumber(options.cpuMoeLayers, "cpuMoeLayers", 0, kMaxMoeLayers).value_or(0);
  if (options.tensorOverrides.size() > kMaxOverrides) {
    throw Failure(codes::kInvalidRequest, "tensorOverrides has more than 64 entries", "tensorOverrides");
  }
  for (const TensorOverride& one : options.tensorOverrides) {
    const std::string fault = patternFault(one.pattern);
    if (!fault.empty()) {
      throw Failure(codes::kInvalidRequest, "a pattern of tensorOverrides " + fault, "tensorOverrides");
    }
    checkDeviceId(one.device, "tensorOverrides");
  }
  settings.tensorOverrides = options.tensorOverrides;
}

std::vector<AdapterOption> checkAdapterOptions(const LoadOptions& options) {
  const auto refuse = [](const std::string& why) { throw Failure(codes::kInvalidRequest, why, "adapters"); };
  const std::vector<AdapterOption>& adapters = options.adapters;
  if (adapters.size() > kMaxAdapters) {
    refuse("a model is loaded with at most " + std::to_string(kMaxAdapters) + " adapters");
  }
  if (!adapters.empty() && options.purpose == "vocab") refuse("a vocabulary alone has no use for adapters");
  for (auto one = adapters.begin(); one != adapters.end(); ++one) {
    if (one->name.empty() || one->name.size() > kMaxAdapterNameBytes) {
      refuse("the name of an adapter has 1 to " + std::to_string(kMaxAdapterNameBytes) + " bytes");
    }
    if (one->file.empty()) refuse("the adapter '" + one->name + "' must name a file");
    const auto isSame = [&](const AdapterOption& other) { return other.name == one->name; };
    if (std::any_of(adapters.begin(), one, isSame)) refuse("two adapters are called '" + one->name + "'");
  }
  return adapters;
}

}  // namespace

LoadSettings resolveSettings(const LoadOptions& options) {
  LoadSettings settings;
  if (options.file.empty()) throw Failure(codes::kInvalidRequest, "file must name a GGUF file", "file");
  settings.file = options.file;
  settings.purposeName = options.purpose;
  settings.purpose = chosen<Purpose>(options.purpose, "purpose",
                                     {{"generate", Purpose::Generate},
                                      {"embed", Purpose::Embed},
                                      {"rerank", Purpose::Rerank},
                                      {"vocab", Purpose::Vocab}});
  settings.contextTokens = wholeNumber(options.contextTokens, "contextTokens", 1, kMaxContextTokens);
  settings.slots = wholeNumber(options.slots, "slots", 1, kMaxSlots).value_or(1);
  settings.contextTokensPerSlot =
      wholeNumber(options.contextTokensPerSlot, "contextTokensPerSlot", kMinTokensPerSlot, kMaxContextTokens);
  if (settings.contextTokensPerSlot && !settings.contextTokens &&
      uint64_t{*settings.contextTokensPerSlot} * settings.slots > static_cast<uint64_t>(kMaxContextTokens)) {
    throw Failure(codes::kInvalidRequest, "contextTokensPerSlot times slots is too much", "contextTokensPerSlot");
  }
  settings.gpuLayers = wholeNumber(options.gpuLayers, "gpuLayers", 0, 1024);
  settings.kvTypeK = kvType(options.kvTypeK, "kvTypeK");
  settings.kvTypeV = kvType(options.kvTypeV, "kvTypeV");
  if (!options.flashAttention.empty()) {
    settings.flashAttention = chosen<FlashAttention>(
        options.flashAttention, "flashAttention",
        {{"auto", FlashAttention::Auto}, {"on", FlashAttention::On}, {"off", FlashAttention::Off}});
  }
  if (!options.pooling.empty()) {
    if (settings.purpose != Purpose::Embed) {
      throw Failure(codes::kInvalidRequest, "pooling is for purpose embed", "pooling");
    }
    settings.pooling = chosen<int>(
        options.pooling, "pooling",
        {{"mean", LLAMA_POOLING_TYPE_MEAN}, {"cls", LLAMA_POOLING_TYPE_CLS}, {"last", LLAMA_POOLING_TYPE_LAST}});
  }
  settings.warmUp = options.warmUp;
  settings.tellsLate = options.tellsLate;
  if (settings.flashAttention == FlashAttention::Off && ggml_is_quantized(static_cast<ggml_type>(settings.kvTypeV))) {
    throw Failure(codes::kInvalidRequest, "kvTypeV " + options.kvTypeV + " needs flashAttention", "kvTypeV");
  }
  if (!options.kvLayout.empty()) {
    settings.unified = chosen<bool>(options.kvLayout, "kvLayout", {{"split", false}, {"unified", true}});
  }
  settings.threads = wholeNumber(options.threads, "threads", 1, 512);
  settings.chunkTokens = wholeNumber(options.chunkTokens, "chunkTokens", 16, 4096);
  settings.measuredChunkTokens = wholeNumber(options.measuredChunkTokens, "measuredChunkTokens", 16, 4096);
  settings.prefixCacheBytes = wholeNumber<uint64_t>(options.prefixCacheBytes, "prefixCacheBytes", 0, kMaxPrefixBytes);
  settings.reuseGenerated = options.reuseGenerated;
  settings.mmap = options.mmap;
  settings.stepLock = options.stepLock;
  resolveDevices(options, settings);
  resolvePlaces(options, settings);
  settings.adapters = checkAdapterOptions(options);
  return settings;
}

ContextShape shapeContext(const LoadSettings& settings, const GgufSummary& file, bool onGpu,
                          const std::string& gpuKind) {
  ContextShape shape;
  shape.slots = settings.slots;
  shape.allOnCpu = !onGpu;
  shape.tokensPerSlot = tokensPerSlot(settings, file);
  shape.chunkTokens = settings.chunkTokens.value_or(onGpu ? 512 : 256);
  shape.pooled = settings.purpose == Purpose::Embed || settings.purpose == Purpose::Rerank;
  // llama.cpp computes Mamba's first scan wrong for every sequence of a call but the first (seen by test; the second
  // version, of hybrids too, is right).
  shape.alone = file.architecture == "mamba" || file.architecture == "jamba";
  shape.pooling = poolingFor(settings, file);
  if (shape.pooled) {
    // An input is pooled inside one ubatch, so the ubatch holds the longest one; short ones share it.
    shape.unified = true;
    sharedTokens(settings, shape);
    shape.batchTokens = std::max(shape.chunkTokens, shape.tokensPerSlot);
    shape.sequences = std::max(shape.slots, std::min(kPooledSequences, shape.batchTokens));
    shape.batchTokens = std::max(shape.batchTokens, shape.sequences);
    shape.cells = roundUp(std::max(shape.contextTokens(), shape.batchTokens), kCellGrid);
    shape.outputs = shape.batchTokens;
    return shape;
  }
  const bool skipsMasked = onGpu && (gpuKind == "metal" || gpuKind == "vulkan");
  shape.unified = settings.unified.value_or(skipsMasked);
  shape.scansIdleCells = shape.unified && !skipsMasked;
  shape.sharedTokens = sharedTokens(settings, shape);
  shape.sequences = shape.slots;
  shape.cells =
      shape.unified ? roundUp(shape.contextTokens(), kCellGrid) : roundUp(shape.tokensPerSlot, kCellGrid) * shape.slots;
  // llama.cpp lowers n_batch to n_ctx by itself; doing it here keeps our own count right.
  shape.batchTokens = std::min(std::max(shape.chunkTokens, shape.slots), shape.cells);
  shape.prefixCacheBytes =
      settings.prefixCacheBytes.value_or(std::min(kDefaultPrefixBytes, hostTotalBytes() / kDefaultPrefixShare));
  shape.reuseGenerated = settings.reuseGenerated;
  shape.outputs =
      shape.slots;  // one logits row per sequence keeps the compute buffer small; fewer than n_seq_max aborts
  return shape;
}

}  // namespace llamaestro
