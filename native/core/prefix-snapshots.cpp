#include "prefix-snapshots.h"

#include <algorithm>

namespace llamaestro {
namespace {

bool beginsWith(const PrefixTokens& tokens, const PrefixTokens& run) {
  return run.size() <= tokens.size() && std::equal(run.begin(), run.end(), tokens.begin());
}

}  // namespace

PrefixSnapshots::Pointer PrefixSnapshots::find(uint64_t space, const PrefixTokens& tokens) const {
  Pointer best;
  for (const Pointer& one : newestFirst_) {
    const bool isLonger = !best || one->tokens.size() > best->tokens.size();
    if (isLonger && one->space == space && one->tokens.size() < tokens.size() && beginsWith(tokens, one->tokens)) {
      best = one;
    }
  }
  return best;
}

void PrefixSnapshots::use(const Pointer& snapshot) {
  const auto place = std::find(newestFirst_.begin(), newestFirst_.end(), snapshot);
  if (place != newestFirst_.end()) newestFirst_.splice(newestFirst_.begin(), newestFirst_, place);
}

bool PrefixSnapshots::has(uint64_t space, const PrefixTokens& tokens, uint32_t count) const {
  return std::any_of(newestFirst_.begin(), newestFirst_.end(), [&](const Pointer& one) {
    return one->space == space && one->tokens.size() == count && beginsWith(tokens, one->tokens);
  });
}

void PrefixSnapshots::add(PrefixSnapshot snapshot) {
  if (snapshot.bytes.size() > budgetBytes_) return;
  newestFirst_.push_front(std::make_shared<const PrefixSnapshot>(std::move(snapshot)));
  bytes_ += newestFirst_.front()->bytes.size();
  while (bytes_ > budgetBytes_ || newestFirst_.size() > kMostSnapshots) {
    bytes_ -= newestFirst_.back()->bytes.size();
    newestFirst_.pop_back();
  }
}

void PrefixSnapshots::forget(const Pointer& snapshot) {
  const auto place = std::find(newestFirst_.begin(), newestFirst_.end(), snapshot);
  if (place == newestFirst_.end()) return;
  bytes_ -= snapshot->bytes.size();
  newestFirst_.erase(place);
}

void PrefixSnapshots::clear() {
  newestFirst_.clear();
  bytes_ = 0;
}

}  // namespace llamaestro
