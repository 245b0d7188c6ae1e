// Internal: owners of llama.cpp's objects, and the parameters both the simulation and the load are made with.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "device-choice.h"
#include "ggml-cpu.h"
#include "llama.h"
#include "load-settings.h"

namespace llamaestro {

struct ModelDeleter {
  void operator()(llama_model* model) const { llama_model_free(model); }
};
struct ContextDeleter {
  void operator()(llama_context* context) const { llama_free(context); }
};
struct ThreadpoolDeleter {
  void operator()(ggml_threadpool* pool) const { ggml_threadpool_free(pool); }
};
using ModelPtr = std::unique_ptr<llama_model, ModelDeleter>;
using ContextPtr = std::unique_ptr<llama_context, ContextDeleter>;
using ThreadpoolPtr = std::unique_ptr<ggml_threadpool, ThreadpoolDeleter>;

// llama_model_params with the arrays they point to. Not movable: the params hold addresses of this object.
class ModelParams {
 public:
  // `gpuLayers` 0 keeps every GPU untouched, unless an override puts a tensor there.
  ModelParams(const LoadSettings& settings, const GgufSummary& file, const DeviceChoice& choice, uint32_t gpuLayers);
  ModelParams(const ModelParams&) = delete;
  ModelParams& operator=(const ModelParams&) = delete;

  // Loads shapes only, without the vocabulary's strings (most of the time of a simulation): `vocabSize` dummy tokens.
  void simulate(const GgufSummary& file, bool withVocabulary);

  llama_model_params params;

 private:
  void placeTensors(const LoadSettings& settings, const DeviceChoice& choice);

  std::vector<ggml_backend_dev_t> devices_;  // ends with null
  std::vector<float> split_;
  std::vector<std::string> patterns_;
  std::vector<llama_model_tensor_buft_override> places_;
  std::vector<llama_model_kv_override> overrides_;
};

// `threads` for both single tokens and batches.
llama_context_params contextParams(const LoadSettings& settings, const ContextShape& shape, uint32_t threads);

}  // namespace llamaestro
