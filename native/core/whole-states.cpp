#include "whole-states.h"

#include <algorithm>

#include "prefix-match.h"

namespace llamaestro {

void WantedStates::add(const std::shared_ptr<const Work>& leader, uint32_t tokens) {
  const auto isGone = [](const Wanted& one) { return one.leader.expired(); };
  all_.erase(std::remove_if(all_.begin(), all_.end(), isGone), all_.end());
  if (!has(leader->id, tokens)) all_.push_back({leader, leader->id, tokens});
}

bool WantedStates::has(uint32_t leaderId, uint32_t tokens) const {
  return std::any_of(all_.begin(), all_.end(),
                     [&](const Wanted& one) { return one.leaderId == leaderId && one.tokens == tokens; });
}

void WantedStates::remove(uint32_t leaderId) {
  const auto isHis = [&](const Wanted& one) { return one.leaderId == leaderId; };
  all_.erase(std::remove_if(all_.begin(), all_.end(), isHis), all_.end());
}

PrefixSnapshots::Pointer WholeStates::find(const Sequence& newcomer) const {
  std::lock_guard<std::mutex> lock(store_->mutex);
  return store_->snapshots.find(newcomer.space(), newcomer.prompt());
}

uint32_t WholeStates::ready(const Sequence& newcomer) const {
  const PrefixSnapshots::Pointer snapshot = find(newcomer);
  return snapshot ? static_cast<uint32_t>(snapshot->tokens.size()) : 0;
}

bool WholeStates::shouldWait(Sequence& newcomer, const std::vector<std::shared_ptr<Sequence>>& active,
                             uint32_t inPlace) {
  std::shared_ptr<Sequence> leader;
  newcomer.leaderTokens = std::max(ready(newcomer), inPlace);
  for (const std::shared_ptr<Sequence>& one : active) {
    if (!one->cachesPrompt() || one->cancelled.load() || one->space() != newcomer.space()) continue;
    const uint32_t common = commonPrefix(newcomer.prompt(), one->prompt());
    const uint32_t shared = std::min(common, newcomer.promptTokens() - 1) / chunkTokens_ * chunkTokens_;
    if (shared <= newcomer.leaderTokens || one->doneTokens >= shared) continue;
    leader = one;
    newcomer.leaderTokens = shared;
  }
  if (!leader) return false;
  newcomer.leaderId = leader->id;
  wanted_.add(leader, newcomer.leaderTokens);
  return true;
}

bool WholeStates::load(Sequence& newcomer, const PrefixSnapshots::Pointer& snapshot) {
  if (blockChecksum(snapshot->bytes) == snapshot->checksum &&
      llama_state_seq_set_data(context_, snapshot->bytes.data(), snapshot->bytes.size(), newcomer.slot) ==
          snapshot->bytes.size()) {
    return true;
  }
  llama_memory_seq_rm(llama_get_memory(context_), newcomer.slot, -1, -1);
  return false;
}

void WholeStates::start(Sequence& newcomer) {
  while (const PrefixSnapshots::Pointer snapshot = find(newcomer)) {
    const bool isLoaded = load(newcomer, snapshot);
    std::lock_guard<std::mutex> lock(store_->mutex);
    if (!isLoaded) {
      store_->snapshots.forget(snapshot);
      continue;
    }
    store_->snapshots.use(snapshot);
    newcomer.cachedTokens = static_cast<uint32_t>(snapshot->tokens.size());
    newcomer.doneTokens = newcomer.cachedTokens;
    counters_.prefixHits.fetch_add(1);
    counters_.cachedTokens.fetch_add(newcomer.cachedTokens);
    return;
  }
}

void WholeStates::passed(const Sequence& sequence) {
  const uint32_t done = sequence.doneTokens;
  const bool isLast = done == (sequence.promptTokens() - 1) / chunkTokens_ * chunkTokens_;
  if (isLast || wanted_.has(sequence.id, done)) keep(sequence);
}

void WholeStates::keep(const Sequence& sequence) {
  PrefixSnapshot snapshot;
  snapshot.space = sequence.space();
  snapshot.tokens = sequence.beginning(sequence.heldTokens());
  {
    std::lock_guard<std::mutex> lock(store_->mutex);
    if (store_->snapshots.has(sequence.space(), snapshot.tokens, sequence.heldTokens())) return;
  }
  const size_t bytes = llama_state_seq_get_size(context_, sequence.slot);
  if (bytes > store_->snapshots.budgetBytes()) return;
  snapshot.bytes.resize(bytes);
  if (llama_state_seq_get_data(context_, snapshot.bytes.data(), bytes, sequence.slot) != bytes) return;
  snapshot.checksum = blockChecksum(snapshot.bytes);
  std::lock_guard<std::mutex> lock(store_->mutex);
  store_->snapshots.add(std::move(snapshot));
}

void WholeStates::left(const Sequence& sequence, bool keeps) {
  wanted_.remove(sequence.id);
  if (keeps && sequence.decodedTokens > 0) keep(sequence);
}

}  // namespace llamaestro
