#include "gguf-check.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>

#include "ggml.h"
#include "gguf-reader.h"
#include "vocabulary-scan.h"

namespace llamaestro {
namespace {

constexpr uint32_t kMagic = 0x46554747u;  // "GGUF"
constexpr uint64_t kMaxKeys = 1 << 16;
constexpr uint64_t kMaxTensors = 1 << 20;
constexpr uint64_t kMaxKeyBytes = 65535;
constexpr uint64_t kMaxTensorNameBytes = 63;  // GGML_MAX_NAME with its end
constexpr double kMaxBlocks = 512;            // LLAMA_MAX_LAYERS: more is an assert in llama.cpp
constexpr double kMaxSplits = 9999;
constexpr double kMaxExperts = 1024;  // LLAMA_MAX_EXPERTS
constexpr const char* kTokensKey = "tokenizer.ggml.tokens";

using Metadata = std::map<std::string, GgufValue>;

bool endsWith(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

bool isInteger(const GgufValue& value) {
  return value.type != gguf::kString && value.type != gguf::kArray && value.type != gguf::kBool &&
         value.type != gguf::kFloat32 && value.type != gguf::kFloat64;
}

// The integer behind `key` inside [low, high], or `otherwise` when the key is not there.
double integerOf(const GgufReader& reader, const Metadata& metadata, const std::string& key, double low, double high,
                 double otherwise) {
  const auto found = metadata.find(key);
  if (found == metadata.end()) return otherwise;
  const double number = found->second.number;
  // Some architectures give one number per layer; those arrays are llama.cpp's to judge.
  if (found->second.type == gguf::kArray) return otherwise;
  if (!isInteger(found->second) || number < low || number > high) {
    reader.refuse(key + " must be a whole number from " + std::to_string(static_cast<uint64_t>(low)) + " to " +
                  std::to_string(static_cast<uint64_t>(high)));
  }
  return number;
}

std::string textOf(const Metadata& metadata, const std::string& key) {
  const auto found = metadata.find(key);
  return found != metadata.end() && found->second.type == gguf::kString ? found->second.text : std::string();
}

Metadata readMetadata(GgufReader& reader, uint64_t count, VocabularyScan& vocabulary) {
  const auto onToken = [&](const std::string& token) { vocabulary.add(token); };
  Metadata metadata;
  for (uint64_t i = 0; i < count; ++i) {
    const std::string key = reader.readString(kMaxKeyBytes);
    if (key.empty()) reader.refuse("a key without a name");
    GgufValue value = key == kTokensKey ? reader.readValue(onToken) : reader.readValue();
    const bool isFloat = value.type == gguf::kFloat32 || value.type == gguf::kFloat64;
    // Infinity means "no bound" in some keys.
    if (isFloat && std::isnan(value.number)) reader.refuse(key + " is not a number");
    if (endsWith(key, "epsilon") && (!isFloat || std::isinf(value.number) || value.number < 0)) {
      reader.refuse(key + " must be a finite number, zero or more");
    }
    if (!metadata.emplace(key, std::move(value)).second) reader.refuse("the key " + key + " occurs twice");
  }
  return metadata;
}

struct TensorExtent {
  std::string name;
  uint64_t offset = 0;
  uint64_t bytes = 0;
  uint64_t elements = 0;
};

// Types that no operation of a graph takes, or not at this place: an abort or a jump to nowhere in the first step.
std::string typeFault(const std::string& name, ggml_type type) {
  const bool isTable = name == "d2t" || name.find("tid2eid") != std::string::npos;  // of numbers, on purpose
  const bool isPlain = type == GGML_TYPE_F32 || type == GGML_TYPE_F16 || type == GGML_TYPE_BF16;
  const bool isFormula = type == GGML_TYPE_Q8_1 || type == GGML_TYPE_Q8_K;  // of products under way, never of weights
  if (!isTable && !isPlain && (!ggml_is_quantized(type) || isFormula)) return "no type for weights";
  for (const char* end : {"norm.weight", ".bias", ".ssm_a", ".ssm_d"}) {
    if (endsWith(name, end) && type != GGML_TYPE_F32) return "must be of type f32 there";
  }
  return {};
}

TensorExtent readTensor(GgufReader& reader) {
  const std::string name = reader.readString(kMaxTensorNameBytes);
  const uint32_t dimensions = reader.readUint32();
  if (dimensions < 1 || dimensions > GGML_MAX_DIMS) {
    reader.refuse("tensor " + name + " has " + std::to_string(dimensions) + " dimensions");
  }
  uint64_t rowLength = 0;
  uint64_t rows = 1;
  for (uint32_t i = 0; i < dimensions; ++i) {
    const uint64_t extent = reader.readUint64();
    if (extent == 0 || extent > (uint64_t{1} << 40)) reader.refuse("tensor " + name + " has an impossible shape");
    if (i == 0) {
      rowLength = extent;
    } else if (rows > (uint64_t{1} << 44) / extent) {
      reader.refuse("tensor " + name + " has an impossible shape");
    } else {
      rows *= extent;
    }
  }
  const uint32_t typeNumber = reader.readUint32();
  const auto type = static_cast<ggml_type>(typeNumber);
  const uint64_t blockLength = typeNumber < GGML_TYPE_COUNT ? static_cast<uint64_t>(ggml_blck_size(type)) : 0;
  const uint64_t blockBytes = typeNumber < GGML_TYPE_COUNT ? ggml_type_size(type) : 0;
  if (blockLength == 0 || blockBytes == 0) reader.refuse("tensor " + name + " has an unknown type");
  if (rowLength % blockLength != 0) reader.refuse("tensor " + name + " does not fit the blocks of its type");
  // Norms and biases enter operations that take plain numbers only; a quantised one ends the process in the first
  // graph.
  if (rows == 1 && dimensions == 1 && ggml_is_quantized(type))
    reader.refuse("tensor " + name + " is a quantised vector");
  const std::string fault = typeFault(name, type);
  if (!fault.empty()) reader.refuse("tensor " + name + " is of type " + ggml_type_name(type) + ": " + fault);
  TensorExtent extent;
  extent.offset = reader.readUint64();
  const uint64_t rowBytes = rowLength / blockLength * blockBytes;
  if (rows > (uint64_t{1} << 60) / rowBytes) reader.refuse("tensor " + name + " has an impossible shape");
  extent.bytes = rows * rowBytes;
  extent.elements = rows * rowLength;
  extent.name = name;
  return extent;
}

// llama.cpp reads the arrays beside the tokens without asking for their length, and asserts that no two tokens are
// equal.
void checkVocabulary(const GgufReader& reader, const Metadata& metadata, VocabularyScan& vocabulary) {
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
void checkCounts(const GgufReader& reader, const Metadata& metadata, const GgufSummary& summary) {
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
void checkRotation(const GgufReader& reader, const Metadata& metadata, const GgufSummary& summary) {
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
void readHeads(const GgufReader& reader, const Metadata& metadata, GgufSummary& summary) {
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
  if (reader.fileBytes() < 24) reader.refuse("it has only " + std::to_string(reader.fileBytes()) + " bytes");
  if (reader.readUint32() != kMagic) reader.refuse("it does not begin with the letters GGUF");
  const uint32_t version = reader.readUint32();
  if ((version & 0xffffu) == 0) reader.refuse("it was written for a big-endian machine");
  if (version != 2 && version != 3) reader.refuse("version " + std::to_string(version) + " is not known, 2 and 3 are");
  GgufSummary summary;
  summary.tensorCount = reader.readUint64();
  const uint64_t keyCount = reader.readUint64();
  if (summary.tensorCount > kMaxTensors) reader.refuse("it claims " + std::to_string(summary.tensorCount) + " tensors");
  if (keyCount > kMaxKeys) reader.refuse("it claims " + std::to_string(keyCount) + " keys");
  VocabularyScan vocabulary;
  const Metadata metadata = readMetadata(reader, keyCount, vocabulary);

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

  const double alignment = integerOf(reader, metadata, "general.alignment", 1, 1 << 20, 32);
  const auto align = static_cast<uint64_t>(alignment);
  if ((align & (align - 1)) != 0) reader.refuse("general.alignment is not a power of two");
  uint64_t dataBytes = 0;
  for (uint64_t i = 0; i < summary.tensorCount; ++i) {
    const TensorExtent extent = readTensor(reader);
    if (extent.offset % align != 0) reader.refuse("a tensor begins at an unaligned place");
    if (extent.offset > (uint64_t{1} << 60)) reader.refuse("a tensor begins behind the end of the file");
    dataBytes = std::max(dataBytes, extent.offset + extent.bytes);
    summary.tensorBytes += extent.bytes;
    summary.elementCount += extent.elements;
    if (extent.name == "cls.weight" || extent.name == "cls.output.weight") summary.hasRankHead = true;
    if (endsWith(extent.name, ".attn_k_b.weight")) summary.hasLatentMatrices = true;
  }
  summary.metadataBytes = (reader.position() + align - 1) / align * align;
  summary.fileBytes = reader.fileBytes();
  if (summary.tensorCount > 0 &&
      (summary.metadataBytes > summary.fileBytes || dataBytes > summary.fileBytes - summary.metadataBytes)) {
    reader.refuse("it is truncated: it has " + std::to_string(summary.fileBytes) + " bytes and its tensors need " +
                  std::to_string(summary.metadataBytes + dataBytes));
  }
  return summary;
}

// NAME-00001-of-00003.gguf -> NAME-00002-of-00003.gguf, as llama.cpp spells the parts of a split model.
std::string partPath(const std::string& first, uint32_t number, uint32_t count) {
  char from[32];
  char to[32];
  snprintf(from, sizeof(from), "-00001-of-%05u.gguf", count);
  snprintf(to, sizeof(to), "-%05u-of-%05u.gguf", number + 1, count);
  if (!endsWith(first, from)) {
    throw Failure(codes::kModelUnusable,
                  first + " is the first of " + std::to_string(count) + " files, and its name does not end in " + from);
  }
  return first.substr(0, first.size() - std::string(from).size()) + to;
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
