#include "prefix-tree.h"

#include <algorithm>

namespace llamaestro {
namespace {

// Positions after which attending to what lies before costs as much again as the rest of the model.
constexpr double kAttentionTokens = 4096;
constexpr uint32_t kMostUses = 16;  // more would keep what was useful once for ever

}  // namespace

struct PrefixTree::Node {
  Node* parent = nullptr;
  const PrefixTokens* run = nullptr;  // its key in the parent
  std::map<PrefixTokens, std::unique_ptr<Node>> children;
  PrefixBlock block;
  uint64_t space = 0;
  uint64_t serial = 0;
  uint32_t depthTokens = 0;  // of the end of its run
  uint32_t uses = 0;
  double priority = 0;
  bool isRoot() const { return parent == nullptr; }
};

PrefixTree::PrefixTree(uint32_t blockTokens, uint64_t budgetBytes)
    : blockTokens_(blockTokens), budgetBytes_(budgetBytes) {}

PrefixTree::~PrefixTree() { clear(); }

// Leaf by leaf: a long chain must not recurse.
void PrefixTree::clear() {
  while (!leaves_.empty()) remove(*leaves_.begin()->second);
}

PrefixTokens PrefixTree::run(const PrefixTokens& tokens, uint32_t from, uint32_t count) {
  return PrefixTokens(tokens.begin() + from, tokens.begin() + from + count);
}

PrefixTree::Node* PrefixTree::walk(uint64_t space, const PrefixTokens& tokens, uint32_t count) const {
  const auto root = roots_.find(space);
  if (root == roots_.end()) return nullptr;
  Node* node = root->second.get();
  const auto limit = static_cast<uint32_t>(std::min<size_t>(count, tokens.size()));
  while (node->depthTokens + blockTokens_ <= limit) {
    const auto child = node->children.find(run(tokens, node->depthTokens, blockTokens_));
    if (child == node->children.end()) break;
    node = child->second.get();
  }
  return node;
}

uint32_t PrefixTree::find(uint64_t space, const PrefixTokens& tokens) const {
  const Node* node = walk(space, tokens, static_cast<uint32_t>(tokens.size()));
  return node == nullptr ? 0 : node->depthTokens;
}

std::vector<PrefixBlock> PrefixTree::take(uint64_t space, const PrefixTokens& tokens, uint32_t count) {
  std::vector<PrefixBlock> blocks;
  for (Node* node = walk(space, tokens, count); node != nullptr && !node->isRoot(); node = node->parent) {
    use(*node);
    blocks.push_back(node->block);
  }
  std::reverse(blocks.begin(), blocks.end());
  return blocks;
}

// Seconds of recomputing per byte, up to a factor; each use counts once more.
double PrefixTree::worth(const Node& node) const {
  const double cost = blockTokens_ * (1 + node.depthTokens / kAttentionTokens);
  return (1.0 + node.uses) * cost / static_cast<double>(std::max<size_t>(1, node.block->bytes.size()));
}

void PrefixTree::use(Node& node) {
  const bool isLeaf = node.children.empty();
  if (isLeaf) removeLeaf(node);
  node.uses = std::min(node.uses + 1, kMostUses);
  node.priority = age_ + worth(node);
  if (isLeaf) addLeaf(node);
}

void PrefixTree::addLeaf(Node& node) {
  if (!node.isRoot()) leaves_[{node.priority, node.serial}] = &node;
}

void PrefixTree::removeLeaf(Node& node) { leaves_.erase({node.priority, node.serial}); }

void PrefixTree::insert(uint64_t space, const PrefixTokens& tokens, uint32_t from,
                        const std::vector<PrefixBlock>& blocks) {
  if (roots_.count(space) == 0) roots_.emplace(space, std::make_unique<Node>());
  Node* node = walk(space, tokens, from);
  if (node->depthTokens != from) return;
  for (const PrefixBlock& block : blocks) {
    if (node->depthTokens + blockTokens_ > tokens.size()) break;
    PrefixTokens next = run(tokens, node->depthTokens, blockTokens_);
    const auto known = node->children.find(next);
    node = known == node->children.end() ? &grow(*node, std::move(next), space, block) : known->second.get();
  }
  shrink();
}

// All of it or, where memory is short, nothing.
PrefixTree::Node& PrefixTree::grow(Node& parent, PrefixTokens run, uint64_t space, const PrefixBlock& block) {
  auto fresh = std::make_unique<Node>();
  const auto place = parent.children.emplace(std::move(run), std::move(fresh)).first;
  Node& added = *place->second;
  added.parent = &parent;
  added.run = &place->first;
  added.block = block;
  added.space = space;
  added.serial = ++lastSerial_;
  added.depthTokens = parent.depthTokens + blockTokens_;
  added.priority = age_ + worth(added);
  try {
    addLeaf(added);
  } catch (...) {
    parent.children.erase(place);
    throw;
  }
  if (!parent.isRoot() && parent.children.size() == 1) removeLeaf(parent);
  bytes_ += block->bytes.size();
  ++blocks_;
  return added;
}

// `node` is a leaf.
void PrefixTree::remove(Node& node) {
  removeLeaf(node);
  bytes_ -= node.block->bytes.size();
  --blocks_;
  Node* parent = node.parent;
  parent->children.erase(parent->children.find(*node.run));
  if (parent->children.empty()) addLeaf(*parent);
}

void PrefixTree::removeBelow(Node& node) {
  Node* at = &node;
  for (;;) {
    while (!at->children.empty()) at = at->children.begin()->second.get();
    if (at == &node) return;
    Node* parent = at->parent;
    remove(*at);
    at = parent;
  }
}

void PrefixTree::forget(uint64_t space, const PrefixTokens& tokens, uint32_t keep) {
  Node* node = walk(space, tokens, keep);
  if (node == nullptr || node->depthTokens + blockTokens_ > tokens.size()) return;
  const auto child = node->children.find(run(tokens, node->depthTokens, blockTokens_));
  if (child == node->children.end()) return;
  Node& doomed = *child->second;
  removeBelow(doomed);
  remove(doomed);
}

void PrefixTree::shrink() {
  while (bytes_ > budgetBytes_ && !leaves_.empty()) {
    Node& cheapest = *leaves_.begin()->second;
    age_ = cheapest.priority;
    remove(cheapest);
  }
}

// Appends the nodes from the root down to `leaf` that are not listed yet.
void PrefixTree::listPath(const Node* leaf, std::map<const Node*, uint32_t>& places, std::vector<Entry>& list) const {
  std::vector<const Node*> path;
  const Node* node = leaf;
  for (; !node->isRoot() && places.count(node) == 0; node = node->parent) path.push_back(node);
  uint32_t parent = node->isRoot() ? kNoParent : places[node];
  for (auto one = path.rbegin(); one != path.rend(); ++one) {
    list.push_back({parent, (*one)->space, *(*one)->run, (*one)->block});
    parent = static_cast<uint32_t>(list.size() - 1);
    places[*one] = parent;
  }
}

std::vector<PrefixTree::Entry> PrefixTree::entries() const {
  std::vector<Entry> list;
  std::map<const Node*, uint32_t> places;
  for (auto leaf = leaves_.rbegin(); leaf != leaves_.rend(); ++leaf) listPath(leaf->second, places, list);
  return list;
}

std::vector<PrefixTree::Entry> PrefixTree::entriesOf(uint64_t space, const PrefixTokens& tokens) const {
  std::vector<Entry> list;
  std::map<const Node*, uint32_t> places;
  const Node* node = walk(space, tokens, static_cast<uint32_t>(tokens.size()));
  if (node != nullptr && !node->isRoot()) listPath(node, places, list);
  return list;
}

}  // namespace llamaestro
