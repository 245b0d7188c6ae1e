#include "gguf-header.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "error.h"

namespace llamaestro {
namespace {

constexpr uint32_t kMagic = 0x46554747u;  // "GGUF"
constexpr uint64_t kMaxKeys = 1 << 16;
constexpr uint64_t kMaxTensors = 1 << 20;
constexpr uint64_t kMaxKeyBytes = 65535;
constexpr uint64_t kMaxTensorNameBytes = 63;  // GGML_MAX_NAME with its end

bool isInteger(const GgufValue& value) {
  return value.type != gguf::kString && value.type != gguf::kArray && value.type != gguf::kBool &&
         value.type != gguf::kFloat32 && value.type != gguf::kFloat64;
}

GgufMetadata readKeys(GgufReader& reader, uint64_t count, const std::function<void(const std::string&)>& onToken) {
  GgufMetadata metadata;
  for (uint64_t i = 0; i < count; ++i) {
    const std::string key = reader.readString(kMaxKeyBytes);
    if (key.empty()) reader.refuse("a key without a name");
    GgufValue value = onToken && key == kTokensKey ? reader.readValue(onToken) : reader.readValue();
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

GgufTensor readTensor(GgufReader& reader) {
  const std::string name = reader.readString(kMaxTensorNameBytes);
  const uint32_t dimensions = reader.readUint32();
  if (dimensions < 1 || dimensions > GGML_MAX_DIMS) {
    reader.refuse("tensor " + name + " has " + std::to_string(dimensions) + " dimensions");
  }
  GgufTensor tensor;
  uint64_t rows = 1;
  for (uint32_t i = 0; i < dimensions; ++i) {
    const uint64_t extent = reader.readUint64();
    if (extent == 0 || extent > (uint64_t{1} << 40)) reader.refuse("tensor " + name + " has an impossible shape");
    tensor.shape[i] = extent;
    if (i == 0) continue;
    if (rows > (uint64_t{1} << 44) / extent) {
      reader.refuse("tensor " + name + " has an impossible shape");
    }
    rows *= extent;
  }
  const uint64_t rowLength = tensor.shape[0];
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
  tensor.offset = reader.readUint64();
  const uint64_t rowBytes = rowLength / blockLength * blockBytes;
  if (rows > (uint64_t{1} << 60) / rowBytes) reader.refuse("tensor " + name + " has an impossible shape");
  tensor.name = name;
  tensor.type = type;
  tensor.dimensions = dimensions;
  tensor.bytes = rows * rowBytes;
  tensor.elements = rows * rowLength;
  return tensor;
}

}  // namespace

bool endsWith(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

double integerOf(const GgufReader& reader, const GgufMetadata& metadata, const std::string& key, double low,
                 double high, double otherwise) {
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

std::string textOf(const GgufMetadata& metadata, const std::string& key) {
  const auto found = metadata.find(key);
  return found != metadata.end() && found->second.type == gguf::kString ? found->second.text : std::string();
}

GgufHeader readGgufHeader(GgufReader& reader, const std::function<void(const std::string&)>& onToken) {
  if (reader.fileBytes() < 24) reader.refuse("it has only " + std::to_string(reader.fileBytes()) + " bytes");
  if (reader.readUint32() != kMagic) reader.refuse("it does not begin with the letters GGUF");
  GgufHeader header;
  header.version = reader.readUint32();
  if ((header.version & 0xffffu) == 0) reader.refuse("it was written for a big-endian machine");
  if (header.version != 2 && header.version != 3) {
    reader.refuse("version " + std::to_string(header.version) + " is not known, 2 and 3 are");
  }
  header.tensorCount = reader.readUint64();
  const uint64_t keyCount = reader.readUint64();
  if (header.tensorCount > kMaxTensors) reader.refuse("it claims " + std::to_string(header.tensorCount) + " tensors");
  if (keyCount > kMaxKeys) reader.refuse("it claims " + std::to_string(keyCount) + " keys");
  header.metadata = readKeys(reader, keyCount, onToken);
  return header;
}

uint64_t readGgufTensors(GgufReader& reader, const GgufHeader& header,
                         const std::function<void(const GgufTensor&)>& onTensor) {
  const double alignment = integerOf(reader, header.metadata, "general.alignment", 1, 1 << 20, 32);
  const auto align = static_cast<uint64_t>(alignment);
  if ((align & (align - 1)) != 0) reader.refuse("general.alignment is not a power of two");
  uint64_t dataBytes = 0;
  for (uint64_t i = 0; i < header.tensorCount; ++i) {
    const GgufTensor tensor = readTensor(reader);
    if (tensor.offset % align != 0) reader.refuse("a tensor begins at an unaligned place");
    if (tensor.offset > (uint64_t{1} << 60)) reader.refuse("a tensor begins behind the end of the file");
    dataBytes = std::max(dataBytes, tensor.offset + tensor.bytes);
    onTensor(tensor);
  }
  const uint64_t begin = (reader.position() + align - 1) / align * align;
  if (header.tensorCount > 0 && (begin > reader.fileBytes() || dataBytes > reader.fileBytes() - begin)) {
    reader.refuse("it is truncated: it has " + std::to_string(reader.fileBytes()) + " bytes and its tensors need " +
                  std::to_string(begin + dataBytes));
  }
  return begin;
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

}  // namespace llamaestro
