// Own pass over the header of a GGUF file before llama.cpp sees it: refuses what would abort the process or run with
// garbage (truncation, bad magic, version or counts, layer counts, epsilons, tensors outside the file, quantised
// norms). Reads the header only, so sparse files of the right size pass. Asks ggml for the sizes of its types and
// nothing else.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "error.h"

namespace llamaestro {

// What the pass learned on its way.
struct GgufSummary {
  uint64_t fileBytes = 0;    // over all parts of a split model
  uint64_t tensorBytes = 0;  // over all parts
  uint64_t tensorCount = 0;
  uint64_t elementCount = 0;   // parameters, over all parts
  uint64_t metadataBytes = 0;  // header of the first part, up to the tensor data
  std::string identity;        // of all parts when they were opened, see file-identity.h
  std::string architecture;
  std::string name;         // general.name, may be empty
  uint32_t blockCount = 0;  // 0 for a file with a vocabulary only
  uint32_t contextTokens = 0;
  uint32_t vocabSize = 0;
  uint32_t splitCount = 1;
  uint32_t heads = 0;  // of attention; 0 where they differ by layer or there are none
  uint32_t keyValueHeads = 0;
  uint32_t keyLength = 0;  // of one head in the cache
  uint32_t valueLength = 0;
  int poolingType = -1;            // {arch}.pooling_type; -1 when the file has none
  bool hasRankHead = false;        // a classifier that pooling 'rank' needs
  bool hasLatentMatrices = false;  // attention through a latent vector, with matrices of three dimensions
};

// The files of a model in `count` parts, as llama.cpp spells them; throws Failure model_unusable on another spelling.
std::vector<std::string> ggufParts(const std::string& first, uint32_t count);

// Errors: model_unusable with one sentence that names the file and what is wrong with it.
Result<GgufSummary> checkGguf(const std::string& path);

}  // namespace llamaestro
