// Internal: load options after checking, and the shape of a context that follows from them and from the model file.
// Everything that decides bytes is decided here, so that plan and load cannot differ. Knows no llama.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "gguf-check.h"
#include "options.h"

namespace llamaestro {

enum class Purpose : uint8_t { Generate, Embed, Rerank, Vocab };
enum class SplitMode : uint8_t { None, Layer, Row };
enum class FlashAttention : uint8_t { Auto, On, Off };

// LoadOptions with ranges checked and strings turned into values; what depends on the model or the machine stays open.
struct LoadSettings {
  std::string file;
  Purpose purpose = Purpose::Generate;
  std::string purposeName;
  std::optional<uint32_t> contextTokens;
  std::optional<uint32_t> contextTokensPerSlot;
  uint32_t slots = 1;
  std::optional<uint32_t> gpuLayers;  // absent: all that fit
  int kvTypeK = 1;                    // ggml_type; 1 is f16
  int kvTypeV = 1;
  FlashAttention flashAttention = FlashAttention::Auto;
  std::optional<bool> unified;
  std::optional<uint32_t> threads;
  std::optional<uint32_t> chunkTokens;
  std::optional<uint32_t> measuredChunkTokens;  // no part of the plan
  std::optional<uint64_t> prefixCacheBytes;
  bool reuseGenerated = true;
  bool mmap = false;
  std::string stepLock;
  std::optional<int> pooling;  // llama_pooling_type
  bool warmUp = false;
  std::optional<std::vector<std::string>> devices;  // absent: all; which of them exist is asked later
  std::string mainDevice;
  SplitMode splitMode = SplitMode::Layer;
  std::vector<float> tensorSplit;
  uint32_t cpuMoeLayers = 0;
  std::vector<TensorOverride> tensorOverrides;
  std::optional<bool> tellsLate;
  std::vector<AdapterOption> adapters;
};

// Numbers of a context. `tokensPerSlot` is what a sequence may use; llama.cpp rounds the memory behind it up to 256.
struct ContextShape {
  uint32_t tokensPerSlot = 0;
  uint32_t slots = 0;        // sequences at a time, as the caller counts
  uint32_t sequences = 0;    // n_seq_max: slots, or more for pooled work, where a sequence costs nothing
  uint32_t cells = 0;        // n_ctx
  uint32_t chunkTokens = 0;  // prefill grid; planned: the largest that a load may choose
  uint32_t batchTokens = 0;  // n_batch = n_ubatch
  uint32_t outputs = 0;      // n_outputs_max
  bool unified = false;
  bool alone = false;            // a call computes one sequence only
  bool pooled = false;           // embed or rerank
  int pooling = -1;              // llama_pooling_type; -1 leaves it to the model
  uint32_t minTokensToMove = 8;  // see SchedulerLimits; follows from the plan
  bool allOnCpu = true;
  uint64_t prefixCacheBytes = 0;  // 0: no prefix cache
  bool reuseGenerated = true;     // it keeps answers too
  bool scansIdleCells = false;    // slots share the cells, and those that nobody computes with cost time all the same

  uint32_t sharedTokens = 0;  // of all slots together, where slots that share the cells may hold more than their part

  uint32_t contextTokens() const { return sharedTokens > 0 ? sharedTokens : tokensPerSlot * slots; }
};

// Throws Failure invalid_request naming the field.
LoadSettings resolveSettings(const LoadOptions& options);

// Throws Failure invalid_request (context too small for the slots) or model_unusable (wrong kind of model for the
// purpose). `onGpu`: some layers are on a GPU; `gpuKind`: its kind.
ContextShape shapeContext(const LoadSettings& settings, const GgufSummary& file, bool onGpu,
                          const std::string& gpuKind);

}  // namespace llamaestro
