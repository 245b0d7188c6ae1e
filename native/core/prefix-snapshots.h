// Internal and pure: whole states of sequences after a run of prompt tokens, for caches that cannot be cut into blocks
// (recurrent, hybrid, sliding window). A state serves prompts that begin with exactly its run. Bounded by bytes and
// count; the one used longest ago goes first. Knows tokens and bytes, no llama.cpp.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <vector>

#include "prefix-tree.h"

namespace llamaestro {

struct PrefixSnapshot {
  uint64_t space = 0;
  PrefixTokens tokens;
  uint64_t checksum = 0;  // over `bytes`
  std::vector<uint8_t> bytes;
};

class PrefixSnapshots {
 public:
  using Pointer = std::shared_ptr<const PrefixSnapshot>;
  static constexpr size_t kMostSnapshots = 1024;

  explicit PrefixSnapshots(uint64_t budgetBytes) : budgetBytes_(budgetBytes) {}

  // The one with the longest run that `tokens` begins with and that leaves a token over; null when there is none.
  Pointer find(uint64_t space, const PrefixTokens& tokens) const;
  // Counts as a use.
  void use(const Pointer& snapshot);
  // True when there is one of exactly the first `count` tokens.
  bool has(uint64_t space, const PrefixTokens& tokens, uint32_t count) const;
  // Nothing happens when it alone is over the budget. Then evicts down to the limits.
  void add(PrefixSnapshot snapshot);
  void forget(const Pointer& snapshot);
  void clear();

  uint64_t bytes() const { return bytes_; }
  uint64_t budgetBytes() const { return budgetBytes_; }
  uint64_t count() const { return newestFirst_.size(); }

 private:
  const uint64_t budgetBytes_;
  std::list<Pointer> newestFirst_;
  uint64_t bytes_ = 0;
};

}  // namespace llamaestro
