// What a GGUF file says about itself, without loading anything: a model in one or several files, an adapter, a
// projector. Reads headers only. Public: plain data in the spelling of src/engine/gguf-types.ts.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "error.h"
#include "gguf-reader.h"

namespace llamaestro {

// Longer texts are cut there, with an ellipsis behind them.
inline constexpr size_t kMaxShownBytes = 4096;
inline constexpr size_t kMaxShownTemplateBytes = 1 << 20;  // of the chat template in its own field

struct FileMetadata {
  std::vector<std::string> files;  // all parts, in order
  uint64_t fileBytes = 0;          // of all parts
  uint32_t version = 0;
  std::string kind;  // general.type; model when the file does not say
  std::string architecture;
  std::string name;
  std::string license;
  std::string quantisation;
  std::string chatTemplate;
  uint64_t contextTokens = 0;
  uint64_t vocabSize = 0;
  uint64_t tensorCount = 0;
  uint64_t parameterCount = 0;
  uint64_t tensorBytes = 0;
  std::map<std::string, uint64_t> bytesByType;
  // Of the first part; text in it may be no UTF-8.
  std::map<std::string, GgufValue> values;
};

// Blocks for as long as the disk takes. Errors: model_unusable (no GGUF file, damaged, truncated, a part missing),
// cancelled.
Result<FileMetadata> readFileMetadata(const std::string& path,
                                      const std::shared_ptr<std::atomic<bool>>& cancel = nullptr);

}  // namespace llamaestro
