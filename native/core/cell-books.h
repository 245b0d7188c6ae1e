// Internal: how many cells of a context's cache are in use by llama.cpp's own books, against which the engine's count
// is held. Decode thread only.
#pragma once

#include <cstdint>

#include "llama.h"

class llama_kv_cache;

namespace llamaestro {

class CellBooks {
 public:
  // `slots`: sequence ids that are in use at most.
  CellBooks(llama_context* context, uint32_t slots);

  // Of a sliding window or a hybrid, the cells that hold every position. A cache without such cells is counted by the
  // positions that its sequences have reached. Takes no longer for a full cache than for an empty one.
  uint64_t recount() const;
  // A cell that several sequences hold counts as one.
  bool countsSharedOnce() const { return cells_ != nullptr; }

 private:
  llama_memory_t memory_;
  const llama_kv_cache* cells_;  // null: positions are counted
  uint32_t slots_;
};

}  // namespace llamaestro
