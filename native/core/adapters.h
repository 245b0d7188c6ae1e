// Internal: LoRA adapters of a model: shapes for a simulation, tensors for a load, and which of them a context uses.
// Knows no requests.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "adapter-check.h"
#include "adapter-set.h"
#include "llama.h"

namespace llamaestro {

using BytesByBuffer = std::map<ggml_backend_buffer_type_t, uint64_t>;

// What belongs to one model's weights and dies with them.
struct LoadedAdapter {
  llama_adapter_lora* raw = nullptr;
  uint64_t hash = 0;  // over the whole file
};

// Gives a simulated model adapters without a byte, which its contexts can be told to use. Returns where they would lie
// and how many bytes that would take: each tensor rounded up as its buffer does it. Throws Failure model_unusable
// (param adapters) for one that does not fit the model.
BytesByBuffer simulateAdapters(llama_model* model, const std::vector<AdapterSummary>& files);

// Loads one into a model that no other thread uses yet. `cancelled` is asked while the file is read. Throws Failure
// model_unusable, out_of_memory, load_failed or cancelled.
LoadedAdapter loadAdapter(llama_model* model, const AdapterSummary& file, const std::function<bool()>& cancelled);

// What those of a loaded model take, read from their buffers.
BytesByBuffer adapterBytes(const llama_model* model);

// Lets the context compute with all adapters of its model at once and reserves its graphs for that: what any set of
// them needs. Throws Failure out_of_memory or model_unusable.
void reserveAllAdapters(llama_context* context);

// After reserveAllAdapters of a simulated context: throws Failure (param adapters) when the graph leaves out a factor,
// so that the adapter would do less than its file says. model_unusable: the architecture does not compute with that
// tensor in the way adapters need. invalid_request where the context is `pooled`: vectors do not come from that tensor.
void refuseUnusedAdapters(const llama_context* context, bool pooled);

// The adapters of one engine, by the names that its requests use.
class Adapters {
 public:
  Adapters() = default;
  Adapters(std::vector<std::string> names, const std::vector<LoadedAdapter>& loaded);

  bool empty() const { return names_.empty(); }
  const std::vector<std::string>& names() const { return names_; }
  // Throws Failure invalid_request (param lora).
  AdapterSet resolve(const std::vector<AdapterUse>& uses) const { return resolveAdapters(uses, names_, hashes_); }
  // The context's thread: what is decoded from here on uses this set. Cheap when it does so already.
  void apply(llama_context* context, const AdapterSet& set) const;

 private:
  std::vector<std::string> names_;
  std::vector<llama_adapter_lora*> raw_;
  std::vector<uint64_t> hashes_;
};

}  // namespace llamaestro
