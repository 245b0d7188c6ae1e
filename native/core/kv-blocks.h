// Internal: ranges of a sequence's attention cache as blocks in host memory, and back. In the split layout llama.cpp
// copies whole streams only, so blocks are cut out of its sequence blobs and put together again by the serialiser here,
// which is checked against llama.cpp itself when it is made. Knows no prompts and no eviction.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kv-blob.h"
#include "kv-block.h"
#include "llama.h"

namespace llamaestro {

// The context's own thread only.
class KvBlocks {
 public:
  // Decodes a few tokens in slot 0, which must be empty and is left empty, and takes their blob apart and together
  // again.
  explicit KvBlocks(llama_context* context);

  // Empty when this context's cache can be cut into blocks; else why not (sliding window, recurrent state, ...).
  const std::string& fault() const { return fault_; }
  // KvLayout::hash of this context: what its blocks carry.
  uint64_t layout() const { return layout_.hash(); }
  // Of one position, all layers.
  uint64_t cellBytes() const { return layout_.cellBytes(); }

  // [from, to) of the sequence in `slot` as blocks of `blockTokens`; both ends are multiples of it and the positions
  // are in the cache. The sequence is left as it is. Throws Failure internal.
  std::vector<KvBlock> exportRange(llama_seq_id slot, uint32_t from, uint32_t to, uint32_t blockTokens) const;

  // Fills the empty sequence of `slot` with a chain of blocks that begins at position 0 and has no gap. Throws Failure
  // internal (damaged, foreign or unconnected blocks, no room); the sequence is empty then.
  void importChain(llama_seq_id slot, const std::vector<const KvBlock*>& chain) const;

 private:
  void learn();
  KvBlob readSequence(llama_seq_id slot) const;
  void writeSequence(llama_seq_id slot, const std::vector<uint8_t>& blob) const;

  llama_context* context_;
  KvLayout layout_;
  std::string fault_;
};

}  // namespace llamaestro
