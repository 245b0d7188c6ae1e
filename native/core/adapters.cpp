#include "adapters.h"

#include <fcntl.h>
#include <unistd.h>

#include <memory>
#include <set>

#include "assert-trap.h"
#include "error.h"
#include "ggml-alloc.h"
#include "ggml-backend.h"
#include "ggml-cpp.h"
#include "kv-block.h"
#include "llama-adapter.h"
#include "llama-context.h"
#include "llama-model.h"
#include "log-hub.h"

namespace llamaestro {
namespace {

constexpr size_t kReadBytes = 1 << 20;

[[noreturn]] void refuse(const AdapterSummary& file, const std::string& why, const char* code = codes::kModelUnusable) {
  throw Failure(code, "the adapter " + file.path + " cannot be used: " + why, "adapters");
}

void checkShape(const AdapterSummary& file, const AdapterPair& pair, const ggml_tensor& target) {
  const auto is = [&](int dimension, uint64_t length) { return static_cast<uint64_t>(target.ne[dimension]) == length; };
  const bool isTable = endsWith(pair.target, "token_embd.weight");
  const bool fits =
      isTable ? is(0, pair.b.shape[1]) && is(1, pair.a.shape[1]) : is(0, pair.a.shape[0]) && is(1, pair.b.shape[1]);
  if (!fits || !is(2, pair.a.shape[2])) {
    refuse(file, "the shape of its factors for " + pair.target + " is not that of the model's tensor");
  }
  if (ggml_n_dims(&target) < 2) refuse(file, pair.target + " is no matrix");
}

// As llama.cpp chooses it: beside the tensor, but never in memory whose tensors are repacked.
ggml_backend_buffer_type_t bufferFor(const ggml_tensor& target) {
  ggml_backend_buffer_type_t type = ggml_backend_buffer_get_type(target.buffer);
  ggml_backend_dev_t cpu = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
  if (cpu == nullptr) return type;
  const auto list = reinterpret_cast<ggml_backend_dev_get_extra_bufts_t>(
      ggml_backend_reg_get_proc_address(ggml_backend_dev_backend_reg(cpu), "ggml_backend_dev_get_extra_bufts"));
  if (list == nullptr) return type;
  for (ggml_backend_buffer_type_t* extra = list(cpu); extra != nullptr && *extra != nullptr; ++extra) {
    if (*extra == type) return ggml_backend_dev_buffer_type(cpu);
  }
  return type;
}

ggml_tensor* tensorOf(ggml_context* context, const GgufTensor& shape) {
  int64_t lengths[GGML_MAX_DIMS];
  for (int i = 0; i < GGML_MAX_DIMS; ++i) lengths[i] = static_cast<int64_t>(shape.shape[i]);
  ggml_tensor* tensor = ggml_new_tensor(context, shape.type, GGML_MAX_DIMS, lengths);
  ggml_set_name(tensor, shape.name.c_str());
  return tensor;
}

// An empty buffer makes the scheduler take the tensors for allocated ones.
void addBuffers(llama_adapter_lora& adapter, const std::map<ggml_backend_buffer_type_t, ggml_context*>& contexts,
                BytesByBuffer& bytes) {
  for (const auto& [type, context] : contexts) {
    bytes[type] += ggml_backend_alloc_ctx_tensors_from_buft_size(context, type);
    ggml_backend_buffer_ptr buffer(ggml_backend_buft_alloc_buffer(type, 0));
    if (!buffer) throw std::bad_alloc();
    for (ggml_tensor* one = ggml_get_first_tensor(context); one != nullptr; one = ggml_get_next_tensor(context, one)) {
      one->buffer = buffer.get();
    }
    adapter.bufs.push_back(std::move(buffer));
  }
}

void simulateOne(llama_model* model, const AdapterSummary& file, BytesByBuffer& bytes) {
  auto adapter = std::make_unique<llama_adapter_lora>(model);
  adapter->alpha = file.alpha;
  std::map<ggml_backend_buffer_type_t, ggml_context*> contexts;
  for (const AdapterPair& pair : file.pairs) {
    const ggml_tensor* target = model->get_tensor(pair.target.c_str());
    if (target == nullptr) refuse(file, "the model has no tensor " + pair.target);
    checkShape(file, pair, *target);
    ggml_context*& context = contexts[bufferFor(*target)];
    if (context == nullptr) {
      context = ggml_init({2 * file.pairs.size() * ggml_tensor_overhead(), nullptr, true});
      if (context == nullptr) throw std::bad_alloc();
      adapter->ctxs.emplace_back(context);
    }
    adapter->ab_map[pair.target] = {tensorOf(context, pair.a), tensorOf(context, pair.b)};
  }
  addBuffers(*adapter, contexts, bytes);
  model->loras.insert(adapter.release());  // which the model deletes
}

uint64_t hashFile(const AdapterSummary& file, const std::function<bool()>& cancelled) {
  const int fd = open(file.path.c_str(), O_RDONLY | O_CLOEXEC);
  const std::unique_ptr<const int, void (*)(const int*)> closing(&fd, [](const int* one) { close(*one); });
  std::vector<uint8_t> sums;
  std::vector<uint8_t> part(kReadBytes);
  for (off_t offset = 0; part.size() == kReadBytes; offset += kReadBytes) {
    if (cancelled()) throw Failure(codes::kCancelled, "the load was cancelled");
    size_t filled = 0;
    for (ssize_t got = 1; got > 0 && filled < kReadBytes; filled += static_cast<size_t>(got)) {
      got = pread(fd, part.data() + filled, kReadBytes - filled, offset + static_cast<off_t>(filled));
      if (got < 0) refuse(file, "it cannot be read to its end", codes::kLoadFailed);
    }
    part.resize(filled);
    const uint64_t sum = blockChecksum(part);
    const auto* raw = reinterpret_cast<const uint8_t*>(&sum);
    sums.insert(sums.end(), raw, raw + sizeof(sum));
  }
  return blockChecksum(sums);
}

// What the graph's results are computed from, those of `unwanted` (may be null) left out. What is written into the
// cache is a result of its own.
std::set<const ggml_tensor*> sourcesOf(ggml_cgraph* graph, const ggml_tensor* unwanted) {
  std::set<const ggml_tensor*> sources;
  std::set<const ggml_tensor*> wanted;
  for (int i = ggml_graph_n_nodes(graph) - 1; i >= 0; --i) {  // a node comes behind its sources
    const ggml_tensor* node = ggml_graph_node(graph, i);
    const bool isResult = sources.count(node) == 0 && node != unwanted;
    const bool isWanted = isResult || wanted.count(node) > 0;
    for (const ggml_tensor* source : node->src) {
      sources.insert(source);
      if (isWanted) wanted.insert(source);
    }
  }
  return wanted;
}

}  // namespace

BytesByBuffer simulateAdapters(llama_model* model, const std::vector<AdapterSummary>& files) {
  BytesByBuffer bytes;
  for (const AdapterSummary& file : files) simulateOne(model, file, bytes);
  return bytes;
}

LoadedAdapter loadAdapter(llama_model* model, const AdapterSummary& file, const std::function<bool()>& cancelled) {
  const uint64_t logBefore = newestLogNumber();
  LoadedAdapter loaded;
  loaded.hash = hashFile(file, cancelled);
  const AssertTrap trap;
  loaded.raw = llama_adapter_lora_init(model, file.path.c_str());
  if (loaded.raw != nullptr) return loaded;
  const std::string line = lastErrorLine(logBefore);
  const bool noMemory = line.find("allocate") != std::string::npos || line.find("bad_alloc") != std::string::npos;
  refuse(file, line.empty() ? "llama.cpp does not take it" : line,
         noMemory ? codes::kOutOfMemory : codes::kModelUnusable);
}

BytesByBuffer adapterBytes(const llama_model* model) {
  BytesByBuffer bytes;
  for (const llama_adapter_lora* adapter : model->loras) {
    for (const ggml_backend_buffer_ptr& buffer : adapter->bufs) {
      bytes[ggml_backend_buffer_get_type(buffer.get())] += ggml_backend_buffer_get_size(buffer.get());
    }
  }
  return bytes;
}

void reserveAllAdapters(llama_context* context) {
  const llama_model* model = llama_get_model(context);
  std::vector<llama_adapter_lora*> all(model->loras.begin(), model->loras.end());
  if (all.empty()) return;
  std::vector<float> scales(all.size(), 1);
  llama_set_adapters_lora(context, all.data(), all.size(), scales.data());
  try {
    const AssertTrap trap;
    context->sched_reserve();
  } catch (const std::exception& thrown) {
    const std::string why = thrown.what();
    throw Failure(AssertTrap::wrote(why) ? codes::kModelUnusable : codes::kOutOfMemory,
                  "the model cannot compute with its adapters: " + why, "adapters");
  }
}

void refuseUnusedAdapters(const llama_context* context, bool pooled) {
  llm_graph_result* reserved = context->get_gf_res_reserve();
  const std::set<const ggml_tensor*> used = sourcesOf(reserved->get_gf(), pooled ? reserved->get_logits() : nullptr);
  for (const llama_adapter_lora* adapter : llama_get_model(context)->loras) {
    for (const auto& [target, factors] : adapter->ab_map) {
      if (used.count(factors.a) > 0 && used.count(factors.b) > 0) continue;
      const std::string why = pooled ? "what this model was loaded for is computed without that tensor"
                                     : "llama.cpp would leave that out for this architecture";
      throw Failure(pooled ? codes::kInvalidRequest : codes::kModelUnusable,
                    "an adapter changes " + target + ", and " + why, "adapters");
    }
  }
}

Adapters::Adapters(std::vector<std::string> names, const std::vector<LoadedAdapter>& loaded)
    : names_(std::move(names)) {
  for (const LoadedAdapter& one : loaded) {
    raw_.push_back(one.raw);
    hashes_.push_back(one.hash);
  }
}

void Adapters::apply(llama_context* context, const AdapterSet& set) const {
  if (names_.empty()) return;
  std::vector<llama_adapter_lora*> used;
  std::vector<float> scales;
  for (const auto& [index, scale] : set.parts) {
    used.push_back(raw_[index]);
    scales.push_back(scale);
  }
  llama_set_adapters_lora(context, used.data(), used.size(), scales.data());
}

}  // namespace llamaestro
