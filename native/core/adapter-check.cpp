#include "adapter-check.h"

#include <cmath>
#include <map>
#include <optional>

#include "error.h"

namespace llamaestro {
namespace {

constexpr const char* kEndOfA = ".lora_a";
constexpr const char* kEndOfB = ".lora_b";
constexpr float kMaxAlpha = 65536;

void expectText(const GgufReader& reader, const GgufMetadata& metadata, const std::string& key,
                const std::string& wanted) {
  const std::string text = textOf(metadata, key);
  if (text != wanted) reader.refuse("it is no LoRA adapter: " + key + " is '" + text + "', not '" + wanted + "'");
}

float alphaOf(const GgufReader& reader, const GgufMetadata& metadata) {
  const auto found = metadata.find("adapter.lora.alpha");
  if (found == metadata.end()) return 0;
  const double alpha = found->second.number;
  if (found->second.type != gguf::kFloat32 || !std::isfinite(alpha) || alpha < 0 || alpha > kMaxAlpha) {
    reader.refuse("adapter.lora.alpha must be a float from 0 to " + std::to_string(static_cast<int>(kMaxAlpha)));
  }
  return static_cast<float>(alpha);
}

struct Halves {
  std::optional<GgufTensor> a;
  std::optional<GgufTensor> b;
};

// Where the factors of a table of tokens lie is its own matter: rows of both are as long as the rank.
void checkPair(const GgufReader& reader, const AdapterPair& pair) {
  const bool isTable = endsWith(pair.target, "token_embd.weight");
  const uint64_t rank = isTable ? pair.a.shape[0] : pair.a.shape[1];
  if (rank != pair.b.shape[0]) reader.refuse("the factors for " + pair.target + " do not fit each other");
  if (pair.a.shape[2] != pair.b.shape[2] || pair.a.shape[3] != 1 || pair.b.shape[3] != 1) {
    reader.refuse("the factors for " + pair.target + " have an impossible shape");
  }
  for (const GgufTensor* half : {&pair.a, &pair.b}) {
    const ggml_type type = half->type;
    if (type == GGML_TYPE_F32 || type == GGML_TYPE_F16 || type == GGML_TYPE_BF16 || type == GGML_TYPE_Q8_0) continue;
    reader.refuse("tensor " + half->name + " is of type " + ggml_type_name(type) +
                  ": adapters are f32, f16, bf16 or q8_0");
  }
}

AdapterSummary check(const std::string& path) {
  if (path.find('\0') != std::string::npos) throw Failure(codes::kModelUnusable, "the file name holds a zero byte");
  GgufReader reader(path);
  const GgufHeader header = readGgufHeader(reader);
  expectText(reader, header.metadata, "general.type", "adapter");
  expectText(reader, header.metadata, "adapter.type", "lora");
  if (header.metadata.count("adapter.alora.invocation_tokens") > 0) {
    reader.refuse("it is an activated LoRA, which works from its invocation tokens on only: that is not supported");
  }
  AdapterSummary summary;
  summary.path = path;
  summary.identity = reader.identity();
  summary.architecture = textOf(header.metadata, "general.architecture");
  summary.alpha = alphaOf(reader, header.metadata);
  std::map<std::string, Halves> byTarget;
  readGgufTensors(reader, header, [&](const GgufTensor& tensor) {
    const bool isA = endsWith(tensor.name, kEndOfA);
    if (!isA && !endsWith(tensor.name, kEndOfB)) {
      reader.refuse("tensor " + tensor.name + " is no factor of a LoRA and would be left out");
    }
    Halves& halves = byTarget[tensor.name.substr(0, tensor.name.size() - std::string(kEndOfA).size())];
    std::optional<GgufTensor>& half = isA ? halves.a : halves.b;
    if (half) reader.refuse("tensor " + tensor.name + " occurs twice");
    half = tensor;
  });
  if (byTarget.empty()) reader.refuse("it has no tensors");
  for (auto& [target, halves] : byTarget) {
    if (!halves.a || !halves.b) reader.refuse("one of the two factors for " + target + " is missing");
    summary.pairs.push_back({target, std::move(*halves.a), std::move(*halves.b)});
    checkPair(reader, summary.pairs.back());
  }
  return summary;
}

}  // namespace

AdapterSummary checkAdapter(const std::string& path) {
  try {
    return check(path);
  } catch (const Failure& failure) {
    Error error = failure.error();
    error.param = "adapters";
    throw Failure(std::move(error));
  }
}

}  // namespace llamaestro
