// Writes LoRA files for a model: random factors for its matrices.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "ggml.h"
#include "gguf.h"

namespace tests {

struct AdapterSpec {
  std::string model = "tiny";
  std::string part = "blk.";  // of the names of the tensors it changes
  uint32_t seed = 1;
  int64_t rank = 4;
  float gain = 0.05f;  // size of an entry of either factor
  float alpha = 4;     // as the rank: factors count as they are
  ggml_type type = GGML_TYPE_F32;
  // Last change before the file is written; may be empty.
  std::function<void(gguf_context*)> edit;
  // Shape of a factor (isA: the first one); may be empty.
  std::function<void(bool isA, int64_t* lengths)> reshape;
  bool leavesOutB = false;
};

// In a scratch folder; returns its path.
std::string writeAdapter(const AdapterSpec& spec);

}  // namespace tests
