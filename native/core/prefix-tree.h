// Internal and pure: which runs of prompt tokens have their cache in host memory. A radix tree whose edges are runs of
// `blockTokens` tokens, one block each, under one root per key space (adapter set). Bounded by bytes: the leaf whose
// recomputing costs least per byte goes first, and age counts against it. Knows tokens and blocks, no llama.cpp.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "kv-block.h"

namespace llamaestro {

using PrefixTokens = std::vector<int32_t>;
// Shared: a block that is being copied outlives its eviction, so nothing needs to be pinned.
using PrefixBlock = std::shared_ptr<const KvBlock>;

class PrefixTree {
 public:
  // `blockTokens` at least 1.
  PrefixTree(uint32_t blockTokens, uint64_t budgetBytes);
  ~PrefixTree();
  PrefixTree(const PrefixTree&) = delete;
  PrefixTree& operator=(const PrefixTree&) = delete;

  // Tokens of the longest prefix of `tokens` that is here; a multiple of blockTokens. Changes nothing.
  uint32_t find(uint64_t space, const PrefixTokens& tokens) const;

  // The blocks of the first `count` tokens (a multiple of blockTokens), or fewer when not all are here. Counts as a
  // use.
  std::vector<PrefixBlock> take(uint64_t space, const PrefixTokens& tokens, uint32_t count);

  // Adds blocks that follow each other from `from` (a multiple of blockTokens) on; what lies before must be here, else
  // nothing is added. Places that are filled keep what they have. Then evicts down to the budget.
  void insert(uint64_t space, const PrefixTokens& tokens, uint32_t from, const std::vector<PrefixBlock>& blocks);

  // Drops everything behind the first `keep` tokens of this run, branches included.
  void forget(uint64_t space, const PrefixTokens& tokens, uint32_t keep);

  void clear();

  // Every block with its run; `parent` is the place of the one before it in the list. Parents come first, and runs that
  // are likeliest to be kept before others.
  static constexpr uint32_t kNoParent = UINT32_MAX;
  struct Entry {
    uint32_t parent = kNoParent;
    uint64_t space = 0;
    PrefixTokens run;
    PrefixBlock block;
  };
  std::vector<Entry> entries() const;
  // Those of one run only, as far as it is here.
  std::vector<Entry> entriesOf(uint64_t space, const PrefixTokens& tokens) const;

  uint32_t blockTokens() const { return blockTokens_; }
  uint64_t bytes() const { return bytes_; }
  uint64_t blocks() const { return blocks_; }
  uint64_t budgetBytes() const { return budgetBytes_; }

 private:
  struct Node;
  using LeafKey = std::pair<double, uint64_t>;

  static PrefixTokens run(const PrefixTokens& tokens, uint32_t from, uint32_t count);
  // The deepest node on the way of `tokens`, at most `count` of them; null when the space is unknown.
  Node* walk(uint64_t space, const PrefixTokens& tokens, uint32_t count) const;
  double worth(const Node& node) const;
  void use(Node& node);
  Node& grow(Node& parent, PrefixTokens run, uint64_t space, const PrefixBlock& block);
  void addLeaf(Node& node);
  void removeLeaf(Node& node);
  void remove(Node& node);
  void removeBelow(Node& node);
  void shrink();
  void listPath(const Node* leaf, std::map<const Node*, uint32_t>& places, std::vector<Entry>& list) const;

  const uint32_t blockTokens_;
  const uint64_t budgetBytes_;
  std::map<uint64_t, std::unique_ptr<Node>> roots_;
  std::map<LeafKey, Node*> leaves_;  // cheapest first
  double age_ = 0;                   // priority of the leaf that was evicted last: what is used later ranks above it
  uint64_t lastSerial_ = 0;
  uint64_t bytes_ = 0;
  uint64_t blocks_ = 0;
};

}  // namespace llamaestro
