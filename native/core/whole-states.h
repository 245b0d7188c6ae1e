// Internal: prefixes of models whose cache cannot be cut: the whole state of a sequence after the last whole chunk of
// its prompt, after any chunk that another sequence waits for, and where its answer ended if that may be kept. A state
// is used by prompts that begin with all of its tokens, so what is computed behind a chunk's end has the chunks it
// would have had anyway. Decode thread only.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "counters.h"
#include "llama.h"
#include "prefix-store.h"
#include "sequence.h"

namespace llamaestro {

// States that somebody waits for: of whom, and after how many tokens of the prompt. Those of sequences that are gone,
// however they ended, are forgotten.
class WantedStates {
 public:
  void add(const std::shared_ptr<const Work>& leader, uint32_t tokens);
  bool has(uint32_t leaderId, uint32_t tokens) const;
  void remove(uint32_t leaderId);
  size_t size() const { return all_.size(); }

 private:
  struct Wanted {
    std::weak_ptr<const Work> leader;
    uint32_t leaderId = 0;
    uint32_t tokens = 0;
  };
  std::vector<Wanted> all_;
};

class WholeStates {
 public:
  WholeStates(llama_context* context, uint32_t chunkTokens, std::shared_ptr<PrefixStore> store, Counters& counters)
      : context_(context), chunkTokens_(chunkTokens), store_(std::move(store)), counters_(counters) {}

  // True when one of `active` is about to pass the end of a chunk up to which it is equal to `newcomer`, and nothing as
  // good is there: sets its leader, and has the state kept when the leader gets there.
  // `inPlace`: what a slot has for it.
  bool shouldWait(Sequence& newcomer, const std::vector<std::shared_ptr<Sequence>>& active, uint32_t inPlace);
  // Tokens of the longest state that `newcomer` could start from.
  uint32_t ready(const Sequence& newcomer) const;
  // Fills the empty slot of `newcomer`. Throws Failure internal; the slot is empty then.
  void start(Sequence& newcomer);
  // After each chunk of a prompt.
  void passed(const Sequence& sequence);
  // Before its slot is cleared; `keeps`: with its state where the answer ended.
  void left(const Sequence& sequence, bool keeps);

 private:
  void keep(const Sequence& sequence);
  bool load(Sequence& newcomer, const PrefixSnapshots::Pointer& snapshot);
  PrefixSnapshots::Pointer find(const Sequence& newcomer) const;

  llama_context* context_;
  const uint32_t chunkTokens_;
  std::shared_ptr<PrefixStore> store_;
  Counters& counters_;
  WantedStates wanted_;
};

}  // namespace llamaestro
