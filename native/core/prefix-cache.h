// Internal: what one engine remembers of the prompts it has computed: blocks of their cache in host memory, and the
// sequences that run. Decides who waits for whom, fills the slot of a newcomer, and keeps what a sequence leaves
// behind. Only prompt tokens are kept: the cache of generated ones has other bits than a prefill would give. Decode
// thread only, but for what says otherwise.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "counters.h"
#include "kv-blocks.h"
#include "load-settings.h"
#include "prefix-match.h"
#include "prefix-tree.h"
#include "sequence.h"

namespace llamaestro {

class PrefixCache {
 public:
  using SequencePtr = std::shared_ptr<Sequence>;

  // Looks at the layout of the context's cache, which must be empty (see KvBlocks). With a budget of 0, or a cache that
  // cannot be cut, every question below is answered with no.
  PrefixCache(llama_context* context, const ContextShape& shape, Counters& counters);

  // True while one of `active` computes what `newcomer` could take over from it: it should not get a slot yet. Cheap to
  // ask again at every step.
  bool shouldWait(Sequence& newcomer, const std::vector<SequencePtr>& active);

  // Fills the empty slot that `newcomer` has just got with the longest prefix known, here or among `active`, and sets
  // its doneTokens and cachedTokens. Never throws; a block that is damaged is dropped and computed again.
  void start(Sequence& newcomer, const std::vector<SequencePtr>& active);

  // Before the slot of `leaving` is cleared: keeps the prompt it has computed. Never throws.
  void keep(const Sequence& leaving);

 private:
  bool serves(const Sequence& sequence) const { return blocks_ && sequence.cachesPrompt(); }
  uint32_t usable(const Sequence& sequence, uint32_t known) const;
  const Sequence* bestDonor(const Sequence& newcomer, const std::vector<SequencePtr>& active, uint32_t known) const;
  void fill(Sequence& newcomer);
  bool dropDamaged(const Sequence& newcomer, const std::vector<PrefixBlock>& blocks);
  void exportPrompt(const Sequence& from);
  void publishCounts();

  PrefixGrid grid_;
  Counters& counters_;
  std::unique_ptr<KvBlocks> blocks_;  // null: off
  PrefixTree tree_;
};

}  // namespace llamaestro
