#include "prefix-tree.h"

#include <algorithm>
#include <random>

#include "harness.h"
#include "prefix-match.h"

using namespace llamaestro;

namespace {

constexpr uint32_t kBlock = 4;
constexpr size_t kBlockBytes = 100;

PrefixBlock blockAt(uint32_t position, uint8_t mark = 0) {
  auto block = std::make_shared<KvBlock>();
  block->firstPosition = position;
  block->tokens = kBlock;
  block->bytes.assign(kBlockBytes, mark);
  return block;
}

std::vector<PrefixBlock> blocksFor(uint32_t from, uint32_t to, uint8_t mark = 0) {
  std::vector<PrefixBlock> blocks;
  for (uint32_t at = from; at < to; at += kBlock) blocks.push_back(blockAt(at, mark));
  return blocks;
}

// `count` tokens, those from `fork` on differing by `branch`.
PrefixTokens tokensOf(uint32_t count, uint32_t fork = 0, int32_t branch = 0) {
  PrefixTokens tokens;
  for (uint32_t i = 0; i < count; ++i) tokens.push_back(static_cast<int32_t>(i) + (i >= fork ? 1000 * branch : 0));
  return tokens;
}

}  // namespace

TEST("prefix tree: finds the longest run of whole blocks, per key space") {
  PrefixTree tree(kBlock, 1 << 20);
  tree.insert(0, tokensOf(14), 0, blocksFor(0, 12));
  CHECK_EQUAL(tree.find(0, tokensOf(14)), 12u);
  CHECK_EQUAL(tree.find(0, tokensOf(11)), 8u);
  CHECK_EQUAL(tree.find(0, tokensOf(12, 9, 1)), 8u);
  CHECK_EQUAL(tree.find(0, tokensOf(12, 0, 1)), 0u);
  CHECK_EQUAL(tree.find(7, tokensOf(12)), 0u);
  CHECK_EQUAL(tree.blocks(), 3u);
  CHECK_EQUAL(tree.bytes(), 3 * kBlockBytes);
}

TEST("prefix tree: takes blocks in order, no more than asked for") {
  PrefixTree tree(kBlock, 1 << 20);
  tree.insert(0, tokensOf(12), 0, blocksFor(0, 12));
  const std::vector<PrefixBlock> taken = tree.take(0, tokensOf(12), 8);
  CHECK_EQUAL(taken.size(), 2u);
  CHECK_EQUAL(taken[0]->firstPosition, 0u);
  CHECK_EQUAL(taken[1]->firstPosition, 4u);
  CHECK(tree.take(3, tokensOf(12), 8).empty());
}

TEST("prefix tree: grows behind what is there, keeps what is filled, refuses a gap") {
  PrefixTree tree(kBlock, 1 << 20);
  tree.insert(0, tokensOf(12), 8, blocksFor(8, 12));
  CHECK_EQUAL(tree.blocks(), 0u);
  tree.insert(0, tokensOf(8), 0, blocksFor(0, 8, 1));
  tree.insert(0, tokensOf(16), 8, blocksFor(8, 16, 2));
  tree.insert(0, tokensOf(12, 4, 1), 0, blocksFor(0, 12, 3));
  CHECK_EQUAL(tree.blocks(), 6u);
  const std::vector<PrefixBlock> taken = tree.take(0, tokensOf(12, 4, 1), 12);
  CHECK_EQUAL(int{taken[0]->bytes[0]}, 1);
  CHECK_EQUAL(int{taken[1]->bytes[0]}, 3);
}

TEST("prefix tree: forgets a run with all its branches and nothing else") {
  PrefixTree tree(kBlock, 1 << 20);
  tree.insert(0, tokensOf(16), 0, blocksFor(0, 16));
  tree.insert(0, tokensOf(16, 12, 1), 12, blocksFor(12, 16));
  tree.insert(0, tokensOf(12, 4, 2), 4, blocksFor(4, 12));
  tree.forget(0, tokensOf(16), 4);
  CHECK_EQUAL(tree.find(0, tokensOf(16)), 4u);
  CHECK_EQUAL(tree.find(0, tokensOf(12, 4, 2)), 12u);
  CHECK_EQUAL(tree.bytes(), 3 * kBlockBytes);
  tree.forget(0, tokensOf(16, 0, 5), 0);
  CHECK_EQUAL(tree.blocks(), 3u);
}

TEST("prefix tree: over its budget the least used leaves go first, parents after their children") {
  PrefixTree tree(kBlock, 6 * kBlockBytes);
  tree.insert(0, tokensOf(12), 0, blocksFor(0, 12));
  tree.insert(0, tokensOf(12, 0, 1), 0, blocksFor(0, 12));
  CHECK_EQUAL(tree.blocks(), 6u);
  tree.take(0, tokensOf(12), 12);
  tree.insert(0, tokensOf(12, 0, 2), 0, blocksFor(0, 12));
  CHECK(tree.bytes() <= 6 * kBlockBytes);
  CHECK_EQUAL(tree.find(0, tokensOf(12)), 12u);
  CHECK_EQUAL(tree.find(0, tokensOf(12, 0, 1)), 0u);
  CHECK_EQUAL(tree.find(0, tokensOf(12, 0, 2)), 12u);
  PrefixTree none(kBlock, 0);
  none.insert(0, tokensOf(8), 0, blocksFor(0, 8));
  CHECK_EQUAL(none.blocks(), 0u);
}

TEST("prefix tree: what was useful long ago gives way in the end") {
  PrefixTree tree(kBlock, 4 * kBlockBytes);
  tree.insert(0, tokensOf(4), 0, blocksFor(0, 4));
  for (int i = 0; i < 5; ++i) tree.take(0, tokensOf(4), 4);
  for (int branch = 1; branch < 100; ++branch) tree.insert(0, tokensOf(4, 0, branch), 0, blocksFor(0, 4));
  CHECK_EQUAL(tree.find(0, tokensOf(4)), 0u);
}

TEST("prefix tree: lists every block once, parents first, and a long one is destroyed without recursion") {
  PrefixTree tree(1, 1 << 30);
  const PrefixTokens tokens = tokensOf(100000);
  std::vector<PrefixBlock> blocks(tokens.size(), blockAt(0));
  tree.insert(9, tokens, 0, blocks);
  tree.insert(9, tokensOf(3, 2, 1), 2, {blockAt(2)});
  const std::vector<PrefixTree::Entry> entries = tree.entries();
  CHECK_EQUAL(entries.size(), tokens.size() + 1);
  for (size_t i = 0; i < entries.size(); ++i) {
    CHECK_EQUAL(entries[i].space, 9u);
    CHECK(entries[i].parent == PrefixTree::kNoParent ? i == 0 : entries[i].parent < i);
  }
  const std::vector<PrefixTree::Entry> branch = tree.entriesOf(9, tokensOf(3, 2, 1));
  CHECK_EQUAL(branch.size(), 3u);
  CHECK_EQUAL(branch[2].parent, 1u);
  CHECK(branch[2].run == PrefixTokens{1002});
  CHECK(tree.entriesOf(8, tokens).empty());
}

TEST("prefix tree: behaves like a set of runs through any order of calls") {
  std::mt19937 random(20);
  const auto below = [&](uint32_t limit) { return static_cast<uint32_t>(random() % limit); };
  for (int round = 0; round < 50; ++round) {
    PrefixTree tree(kBlock, 1 << 20);
    std::vector<PrefixTokens> model;  // every stored run, prefixes of it included
    const auto has = [&](const PrefixTokens& run) { return std::find(model.begin(), model.end(), run) != model.end(); };
    const auto longest = [&](const PrefixTokens& tokens) {
      uint32_t at = 0;
      while (at + kBlock <= tokens.size() && has(PrefixTokens(tokens.begin(), tokens.begin() + at + kBlock))) {
        at += kBlock;
      }
      return at;
    };
    for (int step = 0; step < 60; ++step) {
      PrefixTokens tokens;
      const uint32_t count = 1 + below(20);
      for (uint32_t i = 0; i < count; ++i) tokens.push_back(i % kBlock == 0 ? static_cast<int32_t>(below(2)) : 0);
      const uint32_t known = longest(tokens);
      CHECK_EQUAL(tree.find(0, tokens), known);
      const uint32_t whole = count / kBlock * kBlock;
      if (below(3) > 0) {
        tree.insert(0, tokens, known, blocksFor(known, whole));
        for (uint32_t at = known; at < whole; at += kBlock) {
          model.emplace_back(tokens.begin(), tokens.begin() + at + kBlock);
        }
      } else if (known > 0) {
        const uint32_t keep = below(known / kBlock) * kBlock;
        tree.forget(0, tokens, keep);
        const PrefixTokens dropped(tokens.begin(), tokens.begin() + keep + kBlock);
        model.erase(std::remove_if(model.begin(), model.end(),
                                   [&](const PrefixTokens& run) {
                                     return run.size() >= dropped.size() &&
                                            std::equal(dropped.begin(), dropped.end(), run.begin());
                                   }),
                    model.end());
      }
      CHECK_EQUAL(tree.blocks(), model.size());
      CHECK_EQUAL(tree.bytes(), model.size() * kBlockBytes);
    }
  }
}

TEST("prefix match: whole chunks everywhere, parts of them only on the CPU and only where rows stay in tiles") {
  const PrefixGrid gpu = prefixGrid(512, false);
  CHECK_EQUAL(gpu.blockTokens, 512u);
  CHECK_EQUAL(usablePrefix(gpu, 1100, 2000), 1024u);
  const PrefixGrid cpu = prefixGrid(256, true);
  CHECK_EQUAL(cpu.blockTokens, 64u);
  CHECK_EQUAL(usablePrefix(cpu, 600, 647), 576u);
  CHECK_EQUAL(usablePrefix(cpu, 640, 647), 576u);  // 7 rows would leave the tiles
  CHECK_EQUAL(usablePrefix(cpu, 520, 530), 512u);
  CHECK_EQUAL(usablePrefix(cpu, 512, 512), 448u);  // one token is always computed
  CHECK_EQUAL(usablePrefix(cpu, 256, 257), 256u);  // on the grid any remainder will do
  CHECK_EQUAL(usablePrefix(cpu, 63, 1000), 0u);
  CHECK_EQUAL(usablePrefix(cpu, 0, 0), 0u);
  CHECK_EQUAL(prefixGrid(96, true).blockTokens, 96u);
  CHECK_EQUAL(prefixGrid(32, true).blockTokens, 32u);
}

TEST("prefix match: a common prefix ends with the shorter one") {
  CHECK_EQUAL(commonPrefix({1, 2, 3}, {1, 2, 4}), 2u);
  CHECK_EQUAL(commonPrefix({1, 2}, {1, 2, 4}), 2u);
  CHECK_EQUAL(commonPrefix({}, {1}), 0u);
}
