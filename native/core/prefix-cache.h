// Internal: what one engine remembers of the prompts it has computed: blocks of their cache in host memory, and the
// sequences that run. Decides who waits for whom, fills the slot of a newcomer, and keeps what a sequence leaves
// behind; also how much of it may stay in its slot, and who may go on from there. The cache of generated tokens has
// other bits than a prefill of them would give: whether they are kept is the caller's choice. Each block is copied in
// the step that completes it, so no end of a long sequence stops the others. Decode thread only, but for `store`.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "counters.h"
#include "holders.h"
#include "kv-blocks.h"
#include "load-settings.h"
#include "prefix-match.h"
#include "prefix-store.h"
#include "sequence.h"
#include "whole-states.h"

namespace llamaestro {

class PrefixCache {
 public:
  using SequencePtr = std::shared_ptr<Sequence>;

  // Looks at the layout of the context's cache, which must be empty (see KvBlocks). A cache that cannot be cut is kept
  // as whole states; with a budget of 0 every question below is answered with no.
  PrefixCache(llama_context* context, const ContextShape& shape, Counters& counters);

  // True while one of `active` computes what `newcomer` could take over from it: it should not get a slot yet. Cheap to
  // ask again at every step.
  bool shouldWait(Sequence& newcomer, const std::vector<SequencePtr>& active, const Holders& holders);

  // What one of `holders` has for `newcomer` that is worth more than a slot of its own and what is in host memory. A
  // holder that would lose more than it gives is spared if `canSpare`.
  struct InPlace {
    uint32_t slot = 0;
    uint32_t tokens = 0;  // 0: nothing
  };
  InPlace inPlace(const Sequence& newcomer, const Holders& holders, bool canSpare) const;
  // After the slot of `newcomer` has been cut down to `tokens`.
  void startInPlace(Sequence& newcomer, uint32_t tokens);
  // Tokens of `leaving` that are worth their cells in its slot; what is behind them must go. 0: nothing.
  uint32_t worthHolding(const Sequence& leaving) const;

  // Fills the empty slot that `newcomer` has just got with the longest prefix known, and sets its doneTokens and
  // cachedTokens. Never throws; a block that is damaged is dropped and computed again.
  void start(Sequence& newcomer);

  // After each chunk of a prompt and each generated token: keeps the blocks that this completed. Never throws.
  void passed(Sequence& sequence);

  // Nothing is known any more. Never throws.
  void forgetAll();

  // Before the slot of `leaving` is cleared; `intact`: it did not end with an error. Never throws.
  void left(const Sequence& leaving, bool intact);

  // Multiples at which a chunk may be cut without a change of bits, into pieces that are no smaller; 0: nowhere.
  uint32_t pieceTokens() const { return blocks_ && grid_.blockTokens < grid_.chunkTokens ? grid_.blockTokens : 0; }

  // For prefix files, from any thread; null when nothing is kept.
  std::shared_ptr<PrefixStore> store() const { return store_; }

 private:
  bool serves(const Sequence& sequence) const { return store_ && sequence.cachesPrompt(); }
  uint32_t usable(const Sequence& sequence, uint32_t known) const;
  uint32_t usable(const Sequence& newcomer, const Holder& holder) const;
  uint32_t ready(const Sequence& newcomer) const;
  bool canGoBack(uint32_t slot, uint32_t tokens) const;
  uint32_t known(uint64_t space, const PrefixTokens& tokens) const;
  uint32_t keepable(const Sequence& sequence) const;
  std::vector<PrefixBlock> take(const Sequence& newcomer);
  void fill(Sequence& newcomer);
  bool dropDamaged(const Sequence& newcomer, const std::vector<PrefixBlock>& blocks);
  void keepBlocks(const Sequence& from, uint32_t end);

  llama_memory_t memory_;
  uint32_t windowTokens_ = 0;  // of a sliding window that is the only reason why the cache cannot be cut; else 0
  PrefixGrid grid_;
  Counters& counters_;
  std::shared_ptr<PrefixStore> store_;  // null: off
  std::unique_ptr<KvBlocks> blocks_;    // one of these two
  std::unique_ptr<WholeStates> states_;
};

}  // namespace llamaestro
