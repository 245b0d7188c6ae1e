// Internal and pure: which LoRA adapters a request uses and how strongly, as everything that depends on it compares
// them. Knows no files.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "options.h"

namespace llamaestro {

// The key space of what was computed without adapters.
inline constexpr uint64_t kNoAdapters = 0;

struct AdapterSet {
  std::vector<std::pair<uint32_t, float>> parts;  // index of the adapter, its scale, never 0; by index
  // Equal for sets of the same adapter files with the same scales, in other engines and processes too, and for no
  // others: the key of what may be computed or cached together.
  uint64_t space = kNoAdapters;
};

// What `uses` asks for. A scale of 0 is the same as no adapter. `names` and `hashes` (over the files) are those of the
// engine, by index. Throws Failure invalid_request (param lora).
AdapterSet resolveAdapters(const std::vector<AdapterUse>& uses, const std::vector<std::string>& names,
                           const std::vector<uint64_t>& hashes);

}  // namespace llamaestro
