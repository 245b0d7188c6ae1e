#include "prefix-cache.h"

#include <algorithm>

#include "error.h"

namespace llamaestro {
namespace {

const Sequence* findById(const std::vector<PrefixCache::SequencePtr>& sequences, uint32_t id) {
  for (const PrefixCache::SequencePtr& one : sequences) {
    if (one->id == id) return one.get();
  }
  return nullptr;
}

}  // namespace

PrefixCache::PrefixCache(llama_context* context, const ContextShape& shape, Counters& counters)
    : grid_(prefixGrid(std::min(shape.chunkTokens, shape.batchTokens), shape.allOnCpu)), counters_(counters) {
  if (shape.prefixCacheBytes == 0) return;
  auto blocks = std::make_unique<KvBlocks>(context);
  const llama_model* model = llama_get_model(context);
  if (llama_model_is_recurrent(model) || llama_model_is_hybrid(model) || llama_model_n_swa(model) > 0) {
    grid_.blockTokens = grid_.chunkTokens;
    store_ = std::make_shared<PrefixStore>(PrefixFormat{grid_.blockTokens, 0, 0}, shape.prefixCacheBytes);
    states_ = std::make_unique<WholeStates>(context, grid_.chunkTokens, store_, counters);
    return;
  }
  if (!blocks->fault().empty()) return;
  const PrefixFormat format{grid_.blockTokens, blocks->layout(), blocks->cellBytes() * grid_.blockTokens};
  store_ = std::make_shared<PrefixStore>(format, shape.prefixCacheBytes);
  blocks_ = std::move(blocks);
}

uint32_t PrefixCache::known(const Sequence& sequence) const {
  std::lock_guard<std::mutex> lock(store_->mutex);
  return store_->tree.find(kNoAdapters, sequence.prompt());
}

uint32_t PrefixCache::usable(const Sequence& sequence, uint32_t known) const {
  return usablePrefix(grid_, known, sequence.promptTokens());
}

bool PrefixCache::shouldWait(Sequence& newcomer, const std::vector<SequencePtr>& active) {
  if (!serves(newcomer)) return false;
  if (newcomer.leaderId != 0) {
    const Sequence* leader = findById(active, newcomer.leaderId);
    if (leader != nullptr && !leader->cancelled.load() && leader->doneTokens < newcomer.leaderTokens) return true;
    newcomer.leaderId = 0;  // it has passed, or will never: another one may be ahead
  }
  if (states_) return states_->shouldWait(newcomer, active);
  uint32_t ready = usable(newcomer, known(newcomer));
  uint32_t leaderTokens = 0;
  uint32_t leaderId = 0;
  for (const SequencePtr& one : active) {
    if (!serves(*one) || one->cancelled.load()) continue;
    const uint32_t shared = usable(newcomer, commonPrefix(newcomer.prompt(), one->prompt()));
    if (one->doneTokens >= shared) {
      ready = std::max(ready, shared);
    } else if (shared > leaderTokens) {
      leaderTokens = shared;
      leaderId = one->id;
    }
  }
  if (leaderTokens <= ready) return false;
  newcomer.leaderId = leaderId;
  newcomer.leaderTokens = leaderTokens;
  return true;
}

// The active sequence that has computed more than `least` of the newcomer's prompt.
const Sequence* PrefixCache::bestDonor(const Sequence& newcomer, const std::vector<SequencePtr>& active,
                                       uint32_t least) const {
  const Sequence* best = nullptr;
  for (const SequencePtr& one : active) {
    if (one.get() == &newcomer || !serves(*one)) continue;
    const uint32_t there = std::min(one->doneTokens, commonPrefix(newcomer.prompt(), one->prompt()));
    const uint32_t shared = usable(newcomer, there);
    if (shared <= least) continue;
    least = shared;
    best = one.get();
  }
  return best;
}

void PrefixCache::start(Sequence& newcomer, const std::vector<SequencePtr>& active) {
  if (!serves(newcomer)) return;
  try {
    if (states_) return states_->start(newcomer);
    const Sequence* donor = bestDonor(newcomer, active, usable(newcomer, known(newcomer)));
    if (donor != nullptr) exportPrompt(*donor);
    fill(newcomer);
  } catch (...) {
    // Short of memory, or llama.cpp refused: it is computed then. A failed import has emptied the slot.
    newcomer.doneTokens = 0;
    newcomer.cachedTokens = 0;
  }
}

std::vector<PrefixBlock> PrefixCache::take(const Sequence& newcomer) {
  std::lock_guard<std::mutex> lock(store_->mutex);
  const uint32_t count = usable(newcomer, store_->tree.find(kNoAdapters, newcomer.prompt()));
  return store_->tree.take(kNoAdapters, newcomer.prompt(), count);
}

void PrefixCache::fill(Sequence& newcomer) {
  for (;;) {
    const std::vector<PrefixBlock> blocks = take(newcomer);
    if (blocks.empty()) return;
    const auto count = static_cast<uint32_t>(blocks.size()) * grid_.blockTokens;
    std::vector<const KvBlock*> chain;
    for (const PrefixBlock& block : blocks) chain.push_back(block.get());
    try {
      blocks_->importChain(newcomer.slot, chain);
    } catch (const Failure&) {
      if (!dropDamaged(newcomer, blocks)) throw;
      continue;
    }
    newcomer.cachedTokens = count;
    newcomer.doneTokens = count;
    counters_.prefixHits.fetch_add(1);
    counters_.cachedTokens.fetch_add(count);
    return;
  }
}

// The first damaged block goes, with all that follow it; false when none is damaged.
bool PrefixCache::dropDamaged(const Sequence& newcomer, const std::vector<PrefixBlock>& blocks) {
  const auto damaged = std::find_if(blocks.begin(), blocks.end(), [](const PrefixBlock& block) {
    return blockChecksum(block->bytes) != block->checksum;
  });
  if (damaged == blocks.end()) return false;
  std::lock_guard<std::mutex> lock(store_->mutex);
  store_->tree.forget(kNoAdapters, newcomer.prompt(),
                      static_cast<uint32_t>(damaged - blocks.begin()) * grid_.blockTokens);
  return true;
}

void PrefixCache::passed(const Sequence& sequence) {
  if (!states_ || !serves(sequence)) return;
  try {
    states_->passed(sequence);
  } catch (...) {
    // Not kept: computed again when it comes back.
  }
}

void PrefixCache::keep(const Sequence& leaving) {
  if (!serves(leaving)) return;
  try {
    if (states_) return states_->left(leaving);
    exportPrompt(leaving);
  } catch (...) {
    // Not kept: computed again when it comes back.
  }
}

void PrefixCache::exportPrompt(const Sequence& from) {
  const uint32_t room = static_cast<uint32_t>(
      std::min<uint64_t>(store_->tree.budgetBytes() / store_->format.blockBytes, UINT32_MAX >> 12));
  const uint32_t end = std::min(from.doneTokens / grid_.blockTokens, room) * grid_.blockTokens;
  const uint32_t begin = known(from);
  if (begin >= end) return;
  std::vector<PrefixBlock> added;
  for (KvBlock& block : blocks_->exportRange(from.slot, begin, end, grid_.blockTokens)) {
    added.push_back(std::make_shared<const KvBlock>(std::move(block)));
  }
  std::lock_guard<std::mutex> lock(store_->mutex);
  store_->tree.insert(kNoAdapters, from.prompt(), begin, added);
}

}  // namespace llamaestro
