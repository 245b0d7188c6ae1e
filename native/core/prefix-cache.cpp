#include "prefix-cache.h"

#include <algorithm>

#include "error.h"
#include "insist.h"

namespace llamaestro {
namespace {

const Sequence* findById(const std::vector<PrefixCache::SequencePtr>& sequences, uint32_t id) {
  for (const PrefixCache::SequencePtr& one : sequences) {
    if (one->id == id) return one.get();
  }
  return nullptr;
}

uint32_t windowOf(const llama_model* model) {
  const bool hasState = llama_model_is_recurrent(model) || llama_model_is_hybrid(model);
  return hasState ? 0 : static_cast<uint32_t>(llama_model_n_swa(model));
}

}  // namespace

PrefixCache::PrefixCache(llama_context* context, const ContextShape& shape, Counters& counters)
    : memory_(llama_get_memory(context)),
      windowTokens_(windowOf(llama_get_model(context))),
      grid_(prefixGrid(std::min(shape.chunkTokens, shape.batchTokens), shape.allOnCpu)),
      counters_(counters) {
  if (shape.prefixCacheBytes == 0) return;
  auto blocks = std::make_unique<KvBlocks>(context);
  if (memory_ == nullptr) return;
  if (!blocks->fault().empty()) {
    grid_.blockTokens = grid_.chunkTokens;
    const PrefixFormat format{grid_.blockTokens, 0, 0, shape.reuseGenerated};
    store_ = std::make_shared<PrefixStore>(format, shape.prefixCacheBytes);
    states_ = std::make_unique<WholeStates>(context, grid_.chunkTokens, store_, counters);
    return;
  }
  const uint64_t blockBytes = blocks->cellBytes() * grid_.blockTokens;
  const PrefixFormat format{grid_.blockTokens, blocks->layout(), blockBytes, shape.reuseGenerated};
  store_ = std::make_shared<PrefixStore>(format, shape.prefixCacheBytes);
  blocks_ = std::move(blocks);
}

uint32_t PrefixCache::known(uint64_t space, const PrefixTokens& tokens) const {
  std::lock_guard<std::mutex> lock(store_->mutex);
  return store_->tree.find(space, tokens);
}

uint32_t PrefixCache::usable(const Sequence& sequence, uint32_t known) const {
  return usablePrefix(grid_, known, sequence.promptTokens());
}

// A sliding window forgets what is far behind: a sequence goes back as far as the window before that place is there. A
// state does not go back at all.
bool PrefixCache::canGoBack(uint32_t slot, uint32_t tokens) const {
  if (windowTokens_ == 0 || tokens == 0) return false;
  const llama_pos first = llama_memory_seq_pos_min(memory_, static_cast<llama_seq_id>(slot));
  return first == 0 || (first > 0 && static_cast<uint32_t>(first) + windowTokens_ <= tokens);
}

// Where a cache cannot be cut into blocks: its very end, else the end of a chunk.
uint32_t PrefixCache::usable(const Sequence& newcomer, const Holder& holder) const {
  if (newcomer.space() != holder.space || newcomer.promptTokens() == 0) return 0;
  const uint32_t common = commonPrefix(newcomer.prompt(), holder.tokens);
  if (blocks_) return usable(newcomer, common);
  if (common == holder.tokens.size() && common < newcomer.promptTokens()) return common;
  const uint32_t chunks = std::min(common, newcomer.promptTokens() - 1) / grid_.chunkTokens * grid_.chunkTokens;
  return canGoBack(holder.slot, chunks) ? chunks : 0;
}

uint32_t PrefixCache::ready(const Sequence& newcomer) const {
  return states_ ? states_->ready(newcomer) : usable(newcomer, known(newcomer.space(), newcomer.prompt()));
}

PrefixCache::InPlace PrefixCache::inPlace(const Sequence& newcomer, const Holders& holders, bool canSpare) const {
  InPlace best;
  if (!serves(newcomer)) return best;
  uint32_t bestLoss = 0;
  for (const Holder& holder : holders.all()) {
    const uint32_t tokens = usable(newcomer, holder);
    const auto loss = static_cast<uint32_t>(holder.tokens.size()) - tokens;
    if (tokens == 0 || tokens < best.tokens || (tokens == best.tokens && loss >= bestLoss)) continue;
    best = {holder.slot, tokens};
    bestLoss = loss;
  }
  if (best.tokens == 0) return best;
  const uint32_t elsewhere = ready(newcomer);
  const bool isSpared = canSpare && best.tokens == elsewhere && bestLoss > best.tokens;
  return best.tokens < elsewhere || isSpared ? InPlace{} : best;
}

void PrefixCache::startInPlace(Sequence& newcomer, uint32_t tokens) {
  newcomer.cachedTokens = tokens;
  newcomer.doneTokens = tokens;
  counters_.prefixHits.fetch_add(1);
  counters_.cachedTokens.fetch_add(tokens);
  counters_.inPlaceTokens.fetch_add(tokens);
}

uint32_t PrefixCache::worthHolding(const Sequence& leaving) const {
  if (!serves(leaving)) return 0;
  const uint32_t kept = keepable(leaving);
  if (blocks_) return kept / grid_.blockTokens * grid_.blockTokens;
  // As for states in host memory: where the answer ended, or a chunk.
  const uint32_t chunks = kept / grid_.chunkTokens * grid_.chunkTokens;
  const bool isGood = kept == chunks || leaving.decodedTokens > 0;
  if (kept == leaving.heldTokens() && isGood) return kept;
  return canGoBack(static_cast<uint32_t>(leaving.slot), chunks) ? chunks : 0;
}

bool PrefixCache::shouldWait(Sequence& newcomer, const std::vector<SequencePtr>& active, const Holders& holders) {
  if (!serves(newcomer)) return false;
  if (newcomer.leaderId != 0) {
    const Sequence* leader = findById(active, newcomer.leaderId);
    if (leader != nullptr && !leader->cancelled.load() && leader->doneTokens < newcomer.leaderTokens) return true;
    newcomer.leaderId = 0;  // it has passed, or will never: another one may be ahead
  }
  const uint32_t here = inPlace(newcomer, holders, false).tokens;
  if (states_) return states_->shouldWait(newcomer, active, here);
  const uint32_t known = std::max(ready(newcomer), here);
  uint32_t leaderTokens = 0;
  uint32_t leaderId = 0;
  for (const SequencePtr& one : active) {
    if (!serves(*one) || one->cancelled.load() || one->space() != newcomer.space()) continue;
    const uint32_t shared = usable(newcomer, commonPrefix(newcomer.prompt(), one->prompt()));
    if (one->doneTokens >= shared || shared <= leaderTokens) continue;
    leaderTokens = shared;
    leaderId = one->id;
  }
  if (leaderTokens <= known) return false;
  newcomer.leaderId = leaderId;
  newcomer.leaderTokens = leaderTokens;
  return true;
}

void PrefixCache::start(Sequence& newcomer) {
  if (!serves(newcomer)) return;
  try {
    if (states_) return states_->start(newcomer);
    fill(newcomer);
  } catch (...) {
    // Short of memory, or llama.cpp refused: it is computed then. A failed import has emptied the slot.
    newcomer.doneTokens = 0;
    newcomer.cachedTokens = 0;
  }
}

std::vector<PrefixBlock> PrefixCache::take(const Sequence& newcomer) {
  std::lock_guard<std::mutex> lock(store_->mutex);
  const uint32_t count = usable(newcomer, store_->tree.find(newcomer.space(), newcomer.prompt()));
  return store_->tree.take(newcomer.space(), newcomer.prompt(), count);
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
  store_->tree.forget(newcomer.space(), newcomer.prompt(),
                      static_cast<uint32_t>(damaged - blocks.begin()) * grid_.blockTokens);
  return true;
}

// Tokens of it that are in the cache and may be kept. Labels are no text that comes back.
uint32_t PrefixCache::keepable(const Sequence& sequence) const {
  const bool withAnswer = store_->format.hasGenerated && !sequence.isJob();
  return withAnswer ? sequence.heldTokens() : sequence.doneTokens;
}

void PrefixCache::passed(Sequence& sequence) {
  if (!serves(sequence)) return;
  try {
    if (states_) {
      if (sequence.decodedTokens == 0) states_->passed(sequence);
      return;
    }
    const uint32_t end = keepable(sequence) / grid_.blockTokens * grid_.blockTokens;
    if (end <= sequence.offeredTokens) return;
    sequence.offeredTokens = end;
    keepBlocks(sequence, end);
  } catch (...) {
    // Not kept: computed again when it comes back.
  }
}

void PrefixCache::forgetAll() {
  if (!store_) return;
  insist([this] {
    std::lock_guard<std::mutex> lock(store_->mutex);
    store_->tree.clear();
    store_->snapshots.clear();
  });
}

void PrefixCache::left(const Sequence& leaving, bool intact) {
  if (!states_ || !serves(leaving)) return;
  try {
    states_->left(leaving, intact && keepable(leaving) > leaving.promptTokens());
  } catch (...) {
    // Not kept: computed again when it comes back.
  }
}

// Usually the one block that has just been completed, or a chunk's. What was evicted meanwhile is copied again, no more
// than a chunk's at once.
void PrefixCache::keepBlocks(const Sequence& from, uint32_t end) {
  const uint64_t room = store_->tree.budgetBytes() / store_->format.blockBytes * grid_.blockTokens;
  const PrefixTokens tokens = from.beginning(end);
  const uint32_t begin = known(from.space(), tokens);
  const auto last = static_cast<uint32_t>(std::min({uint64_t{end}, room, uint64_t{begin} + grid_.chunkTokens}));
  if (begin >= last) return;
  std::vector<PrefixBlock> added;
  for (KvBlock& block : blocks_->exportRange(from.slot, begin, last, grid_.blockTokens)) {
    added.push_back(std::make_shared<const KvBlock>(std::move(block)));
  }
  std::lock_guard<std::mutex> lock(store_->mutex);
  store_->tree.insert(from.space(), tokens, begin, added);
}

}  // namespace llamaestro
