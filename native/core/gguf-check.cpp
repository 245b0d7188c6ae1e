#include "gguf-check.h"

#include <algorithm>
#include <cmath>

#include "gguf-header.h"
#include "vocabulary-scan.h"

namespace llamaestro {
namespace {

constexpr double kMaxBlocks = 512;  // LLAMA_MAX_LAYERS: more is an assert in llama.cpp
constexpr double kMaxSplits = 9999;
constexpr double kMaxExperts = 1024;  // LLAMA_MAX_EXPERTS

// llama.cpp reads the arrays beside the tokens without asking for their length, and asserts that no two tokens are
// equal.
void checkVocabulary(const GgufReader& reader, const GgufMetadata& metadata, VocabularyScan& vocabulary) {
  const auto tokens = metadata.find(kTokensKey);
  if (tokens == metadata.end()) return;
  const uint64_t count = tokens->second.arrayLength;
  for (const char* key : {"tokenizer.ggml.scores", "tokenizer.ggml.token_type"}) {
    const auto found = metadata.find(key);
    if (found != metadata.end() && found->second.arrayLength < count) {
      reader.refuse(std::string(key) + " is shorter than the vocabulary");
    }
  }
  const std::string tokenizer = textOf(metadata, "tokenizer.ggml.model");
  if (tokenizer == "rwkv" && vocabulary.hasEndlessByte()) {
    reader.refuse("a byte that begins tokens is none itself, which no tokenizer 'rwkv' gets past");
  }
  if (tokenizer == "hybriddna") return;  // repeats tokens by design
  if (vocabulary.repeats()) reader.refuse("a token occurs twice in the vocabulary");
}

// The counts that llama.cpp asserts while it reads the shape of a model.
void checkCounts(const GgufReader& reader, const GgufMetadata& metadata, const GgufSummary& summary) {
  const std::string prefix = summary.architecture + ".";
  integerOf(reader, metadata, prefix + "nextn_predict_layers", 0, summary.blockCount, 0);
  const double experts = integerOf(reader, metadata, prefix + "expert_count", 0, kMaxExperts, 0);
  const auto used = metadata.find(prefix + "expert_used_count");
  const bool perLayer = used != metadata.end() && used->second.type == gguf::kArray;
  if (summary.architecture.compare(0, 7, "hunyuan") == 0 && experts <= 1)
    return;  // a dense model that says "one expert"
  if (!perLayer)
    integerOf(reader, metadata, prefix + "expert_used_count", experts > 0 ? 1 : 0, experts, experts > 0 ? 1 : 0);
  if (experts > 0 && used == metadata.end()) reader.refuse(prefix + "expert_used_count is missing");
  const double groups = integerOf(reader, metadata, prefix + "expert_group_count", 0, std::max(0.0, experts - 1), 0);
  if (groups <= 1) return;
  if (std::fmod(experts, groups) != 0) reader.refuse(prefix + "expert_group_count does not divide the experts");
  if (integerOf(reader, metadata, prefix + "expert_group_used_count", 1, groups - 1, 0) == 0) {
    reader.refuse(prefix + "expert_group_used_count is missing");
  }
}

// The part of a head that turns with the position lies inside the head; else the first step ends the process or writes
// where it must not.
void checkRotation(const GgufReader& reader, const GgufMetadata& metadata, const GgufSummary& summary) {
  constexpr double kMost = 4294967295.0;
  const std::string prefix = summary.architecture + ".";
  const auto number = [&](const char* key, double otherwise) {
    return integerOf(reader, metadata, prefix + key, 0, kMost, otherwise);
  };
  const double heads = number("attention.head_count", 0);
  const double derived = heads > 0 ? std::floor(number("embedding_length", 0) / heads) : kMost;
  const double full = number("attention.key_length", derived);
  const double turning = number("rope.dimension_count", 0);
  const auto check = [&](const char* key, double dimensions, double head) {
    if (dimensions > head || std::fmod(dimensions, 2) != 0) {
      reader.refuse(prefix + key + " does not fit into a head of " + std::to_string(static_cast<uint64_t>(head)));
    }
  };
  check("rope.dimension_count", turning, full);
  if (metadata.count(prefix + "attention.key_length_swa") == 0) return;
  const char* key = "rope.dimension_count_swa";
  check(key, number(key, turning), number("attention.key_length_swa", full));
}

// What a cache row looks like, for those who ask whether a device can compute with it.
void readHeads(const GgufReader& reader, const GgufMetadata& metadata, GgufSummary& summary) {
  constexpr double kMost = 65536;
  const auto read = [&](const char* key, double otherwise) {
    const double most = std::max(kMost, otherwise);
    return static_cast<uint32_t>(integerOf(reader, metadata, summary.architecture + key, 0, most, otherwise));
  };
  const uint32_t width = read(".embedding_length", 0);
  summary.heads = read(".attention.head_count", 0);
  summary.keyValueHeads = read(".attention.head_count_kv", summary.heads);
  const uint32_t each = summary.heads > 0 ? width / summary.heads : 0;
  summary.keyLength = read(".attention.key_length", each);
  summary.valueLength = read(".attention.value_length", each);
}

// One file: its header and the extents of its tensors.
GgufSummary checkPart(const std::string& path, double expectedSplit) {
  GgufReader reader(path);
  VocabularyScan vocabulary;
  const GgufHeader header = readGgufHeader(reader, [&](const std::string& token) { vocabulary.add(token); });
  const GgufMetadata& metadata = header.metadata;
  GgufSummary summary;
  summary.tensorCount = header.tensorCount;
  summary.identity = reader.identity();

  summary.splitCount = static_cast<uint32_t>(integerOf(reader, metadata, "split.count", 0, kMaxSplits, 1));
  if (summary.splitCount == 0) summary.splitCount = 1;
  const double split = integerOf(reader, metadata, "split.no", 0, kMaxSplits, 0);
  if (split != expectedSplit)
    reader.refuse("it is part " + std::to_string(static_cast<int>(split) + 1) +
                  " of a model in several files; name the first");
  summary.architecture = textOf(metadata, "general.architecture");
  summary.name = textOf(metadata, "general.name");
  if (expectedSplit == 0) {
    if (summary.architecture.empty()) reader.refuse("general.architecture is missing");
    const std::string prefix = summary.architecture + ".";
    const double whole = summary.tensorCount > 0 ? 1 : 0;
    summary.blockCount =
        static_cast<uint32_t>(integerOf(reader, metadata, prefix + "block_count", whole, kMaxBlocks, 0));
    summary.contextTokens =
        static_cast<uint32_t>(integerOf(reader, metadata, prefix + "context_length", 0, 4294967295.0, 0));
    // Files without pooling say so with a number out of range.
    const double pooling = integerOf(reader, metadata, prefix + "pooling_type", -1, 4294967295.0, -1);
    summary.poolingType = pooling > 4 ? -1 : static_cast<int>(pooling);
    readHeads(reader, metadata, summary);
    if (summary.tensorCount > 0) {
      checkCounts(reader, metadata, summary);
      checkRotation(reader, metadata, summary);
    }
    checkVocabulary(reader, metadata, vocabulary);
    const auto tokens = metadata.find(kTokensKey);
    if (tokens != metadata.end())
      summary.vocabSize = static_cast<uint32_t>(std::min<uint64_t>(tokens->second.arrayLength, INT32_MAX));
  }

  summary.metadataBytes = readGgufTensors(reader, header, [&](const GgufTensor& tensor) {
    summary.tensorBytes += tensor.bytes;
    summary.elementCount += tensor.elements;
    if (tensor.name == "cls.weight" || tensor.name == "cls.output.weight") summary.hasRankHead = true;
    if (endsWith(tensor.name, ".attn_k_b.weight")) summary.hasLatentMatrices = true;
  });
  summary.fileBytes = reader.fileBytes();
  return summary;
}

}  // namespace

std::vector<std::string> ggufParts(const std::string& first, uint32_t count) {
  std::vector<std::string> parts = {first};
  for (uint32_t number = 1; number < count; ++number) parts.push_back(partPath(first, number, count));
  return parts;
}

Result<GgufSummary> checkGguf(const std::string& path) {
  return guarded<GgufSummary>(
      [&] {
        if (path.find('\0') != std::string::npos)
          throw Failure(codes::kModelUnusable, "the file name holds a zero byte");
        GgufSummary whole = checkPart(path, 0);
        const std::vector<std::string> parts = ggufParts(path, whole.splitCount);
        for (uint32_t number = 1; number < whole.splitCount; ++number) {
          const GgufSummary part = checkPart(parts[number], number);
          whole.identity += part.identity;
          whole.fileBytes += part.fileBytes;
          whole.tensorBytes += part.tensorBytes;
          whole.tensorCount += part.tensorCount;
          whole.elementCount += part.elementCount;
          whole.hasRankHead = whole.hasRankHead || part.hasRankHead;
          whole.hasLatentMatrices = whole.hasLatentMatrices || part.hasLatentMatrices;
        }
        return whole;
      },
      codes::kModelUnusable);
}

}  // namespace llamaestro
