// Internal: the header of one GGUF file, checked as far as it holds for every file of the format: magic, version,
// counts, keys, and tensors that lie inside the file. Says nothing about what the keys mean to a model.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "ggml.h"
#include "gguf-reader.h"

namespace llamaestro {

using GgufMetadata = std::map<std::string, GgufValue>;

struct GgufTensor {
  std::string name;
  ggml_type type = GGML_TYPE_F32;
  std::array<uint64_t, GGML_MAX_DIMS> shape{1, 1, 1, 1};  // row length first
  uint32_t dimensions = 1;
  uint64_t offset = 0;  // in the tensor data
  uint64_t bytes = 0;
  uint64_t elements = 0;
};

struct GgufHeader {
  uint32_t version = 0;
  uint64_t tensorCount = 0;
  GgufMetadata metadata;
};

inline constexpr const char* kTokensKey = "tokenizer.ggml.tokens";

// Magic to the last key. `onToken` sees every token of the vocabulary. Throws Failure model_unusable, as do all below.
GgufHeader readGgufHeader(GgufReader& reader, const std::function<void(const std::string&)>& onToken = {});

// The tensors after the keys, each seen by `onTensor`. Returns where the tensor data begin.
uint64_t readGgufTensors(GgufReader& reader, const GgufHeader& header,
                         const std::function<void(const GgufTensor&)>& onTensor);

// The integer behind `key` inside [low, high], or `otherwise` when the key is not there.
double integerOf(const GgufReader& reader, const GgufMetadata& metadata, const std::string& key, double low,
                 double high, double otherwise);

// The text behind `key`, empty when there is none.
std::string textOf(const GgufMetadata& metadata, const std::string& key);

bool endsWith(const std::string& text, const std::string& end);

// Asks for the parts of a model in several files, from the second on. Throws Failure when the name is not that of a
// first part.
std::string partPath(const std::string& first, uint32_t number, uint32_t count);

}  // namespace llamaestro
