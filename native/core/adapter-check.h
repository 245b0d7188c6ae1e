// Internal: own pass over a LoRA file before llama.cpp sees it, as gguf-check does for models: what would end the
// process, or be left out without a word. Knows files, not the model that they are for.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "gguf-header.h"

namespace llamaestro {

// The two factors of what is added to one tensor of the model.
struct AdapterPair {
  std::string target;  // name of that tensor
  GgufTensor a;
  GgufTensor b;
};

struct AdapterSummary {
  std::string path;
  std::string identity;  // when it was opened, see file-identity.h
  std::string architecture;
  float alpha = 0;  // 0: the file has none
  std::vector<AdapterPair> pairs;
};

// Throws Failure model_unusable (param adapters) with one sentence that names the file and what is wrong with it.
AdapterSummary checkAdapter(const std::string& path);

}  // namespace llamaestro
