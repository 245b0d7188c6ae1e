#include "adapter-files.h"

#include <memory>
#include <random>
#include <vector>

#include "harness.h"

namespace tests {
namespace {

struct Closer {
  void operator()(gguf_context* one) const { gguf_free(one); }
  void operator()(ggml_context* one) const { ggml_free(one); }
};
using Header = std::unique_ptr<gguf_context, Closer>;
using Shapes = std::unique_ptr<ggml_context, Closer>;

constexpr size_t kMemoryBytes = 32 << 20;

ggml_tensor* factor(ggml_context* memory, const AdapterSpec& spec, const std::string& name, int64_t* lengths, bool isA,
                    std::mt19937& random) {
  if (spec.reshape) spec.reshape(isA, lengths);
  ggml_tensor* tensor = ggml_new_tensor(memory, spec.type, 3, lengths);
  ggml_set_name(tensor, (name + (isA ? ".lora_a" : ".lora_b")).c_str());
  std::vector<float> values(static_cast<size_t>(ggml_nelements(tensor)));
  for (float& value : values) value = spec.gain * (static_cast<float>(random() % 2001) / 1000 - 1);
  ggml_quantize_chunk(spec.type, values.data(), tensor->data, 0, ggml_nrows(tensor), tensor->ne[0], nullptr);
  return tensor;
}

}  // namespace

std::string writeAdapter(const AdapterSpec& spec) {
  static int count = 0;
  static const std::string folder = scratchFolder();
  ggml_context* raw = nullptr;
  const Header model(gguf_init_from_file(modelPath(spec.model).c_str(), {true, &raw}));
  const Shapes shapes(raw);
  const Shapes memory(ggml_init({kMemoryBytes, nullptr, false}));
  const Header file(gguf_init_empty());
  const auto architecture = gguf_find_key(model.get(), "general.architecture");
  gguf_set_val_str(file.get(), "general.architecture", gguf_get_val_str(model.get(), architecture));
  gguf_set_val_str(file.get(), "general.type", "adapter");
  gguf_set_val_str(file.get(), "adapter.type", "lora");
  gguf_set_val_f32(file.get(), "adapter.lora.alpha", spec.alpha);
  std::mt19937 random(spec.seed);
  for (ggml_tensor* one = ggml_get_first_tensor(raw); one != nullptr; one = ggml_get_next_tensor(raw, one)) {
    const std::string name = one->name;
    if (ggml_n_dims(one) < 2 || name.find(spec.part) == std::string::npos) continue;
    const bool isTable = name == "token_embd.weight";
    int64_t a[] = {isTable ? spec.rank : one->ne[0], isTable ? one->ne[1] : spec.rank, one->ne[2]};
    int64_t b[] = {spec.rank, isTable ? one->ne[0] : one->ne[1], one->ne[2]};
    gguf_add_tensor(file.get(), factor(memory.get(), spec, name, a, true, random));
    if (!spec.leavesOutB) gguf_add_tensor(file.get(), factor(memory.get(), spec, name, b, false, random));
  }
  if (spec.edit) spec.edit(file.get());
  const std::string path = folder + "/adapter-" + std::to_string(++count) + ".gguf";
  if (!gguf_write_to_file(file.get(), path.c_str(), false)) throw CheckFailed("no adapter could be written");
  return path;
}

}  // namespace tests
