#include "kv-blocks.h"

#include <algorithm>
#include <cstring>

#include "batch.h"
#include "error.h"
#include "kv-rows.h"
#include "llama-memory.h"

namespace llamaestro {
namespace {

constexpr uint32_t kProbeTokens = 3;

[[noreturn]] void fail(const std::string& what) { throw Failure(codes::kInternal, what); }

}  // namespace

// Four lanes: one multiplication after the other would take longer than the copying.
uint64_t blockChecksum(const std::vector<uint8_t>& bytes) {
  constexpr size_t kLanes = 4;
  constexpr uint64_t kFactor = 0xff51afd7ed558ccdu;
  uint64_t lanes[kLanes] = {0x9E3779B97F4A7C15u ^ bytes.size(), 1, 2, 3};
  size_t at = 0;
  for (; at + 8 * kLanes <= bytes.size(); at += 8 * kLanes) {
    uint64_t words[kLanes];
    memcpy(words, bytes.data() + at, sizeof(words));
    for (size_t lane = 0; lane < kLanes; ++lane) {
      lanes[lane] = (lanes[lane] ^ words[lane]) * kFactor;
      lanes[lane] ^= lanes[lane] >> 29;
    }
  }
  uint64_t hash = lanes[0];
  for (size_t lane = 1; lane < kLanes; ++lane) hash = ((hash ^ lanes[lane]) * kFactor) ^ (hash >> 31);
  for (; at < bytes.size(); ++at) hash = (hash ^ bytes[at]) * kFactor;
  return hash ^ (hash >> 32);
}

KvBlocks::KvBlocks(llama_context* context) : context_(context) {
  const llama_model* model = llama_get_model(context);
  if (llama_get_memory(context) == nullptr) {
    fault_ = "the model keeps no cache";
  } else if (llama_model_is_recurrent(model) || llama_model_is_hybrid(model)) {
    fault_ = "a recurrent state cannot be cut";
  } else if (llama_model_n_swa(model) > 0) {
    fault_ = "a sliding window forgets positions";
  } else {
    try {
      learn();
    } catch (const Failure& failure) {
      fault_ = failure.what();
    }
    llama_memory_seq_rm(llama_get_memory(context_), 0, -1, -1);
  }
}

// Takes the layout from a real sequence and proves that what is put together from its parts is what llama.cpp writes.
void KvBlocks::learn() {
  Batch batch(kProbeTokens);
  for (uint32_t i = 0; i < kProbeTokens; ++i) batch.add(0, static_cast<llama_pos>(i), 0, i + 1 == kProbeTokens);
  if (llama_decode(context_, batch.raw()) != 0) fail("the probe of the cache layout could not be computed");
  llama_synchronize(context_);
  const KvBlob original = readSequence(0);
  layout_ = original.layout;
  if (original.positions.size() != kProbeTokens) fail("the cache holds other positions than were computed");

  std::vector<uint8_t> first = gatherCells(original, {0});
  std::vector<uint8_t> rest = gatherCells(original, {1, 2});
  const std::vector<uint8_t> rebuilt = assembleKvBlob(layout_, 0, {{first.data(), 1}, {rest.data(), 2}});
  llama_memory_seq_rm(llama_get_memory(context_), 0, -1, -1);
  writeSequence(0, rebuilt);
  const KvBlob again = readSequence(0);
  const std::vector<uint8_t> whole = gatherCells(original, {0, 1, 2});
  if (again.positions != original.positions || gatherCells(again, {0, 1, 2}) != whole) {
    fail("the cache does not come back as it was");
  }
  const std::vector<KvBlock> blocks = exportRange(0, 0, kProbeTokens, kProbeTokens);
  if (blocks.front().bytes != whole) fail("the rows of the cache are not where they seem to be");
}

KvBlob KvBlocks::readSequence(llama_seq_id slot) const {
  std::vector<uint8_t> bytes(llama_state_seq_get_size(context_, slot));
  const size_t got = llama_state_seq_get_data(context_, bytes.data(), bytes.size(), slot);
  if (got == 0 || got != bytes.size()) fail("the cache of a sequence could not be read");
  return parseKvBlob(std::move(bytes));
}

void KvBlocks::writeSequence(llama_seq_id slot, const std::vector<uint8_t>& blob) const {
  if (llama_state_seq_set_data(context_, blob.data(), blob.size(), slot) != blob.size()) {
    llama_memory_seq_rm(llama_get_memory(context_), slot, -1, -1);
    fail("the cache of a sequence could not be restored");
  }
}

std::vector<KvBlock> KvBlocks::exportRange(llama_seq_id slot, uint32_t from, uint32_t to, uint32_t blockTokens) const {
  if (!fault_.empty()) fail(fault_);
  if (blockTokens == 0 || from % blockTokens != 0 || to % blockTokens != 0 || from > to) fail("blocks lie on a grid");
  KvRowList rows;
  rows.write(&layout_.magic, sizeof(layout_.magic));
  rows.write(&slot, sizeof(slot));
  llama_synchronize(context_);
  llama_get_memory(context_)->state_write(rows, slot, 0);
  const KvBlob blob = parseKvBlob(rows.takeStructure(), KvRows::Elsewhere);
  const auto read = [&](uint64_t at, uint8_t* to, uint64_t count) { rows.read(at, to, count); };
  std::vector<int64_t> cellOf(to - from, -1);
  for (uint32_t cell = 0; cell < blob.positions.size(); ++cell) {
    const int64_t position = blob.positions[cell];
    if (position >= from && position < to) cellOf[static_cast<size_t>(position - from)] = cell;
  }
  std::vector<KvBlock> blocks;
  for (uint32_t first = from; first < to; first += blockTokens) {
    std::vector<uint32_t> cells;
    for (uint32_t position = first; position < first + blockTokens; ++position) {
      if (cellOf[position - from] < 0) fail("a position is not in the cache");
      cells.push_back(static_cast<uint32_t>(cellOf[position - from]));
    }
    KvBlock block;
    block.firstPosition = first;
    block.tokens = blockTokens;
    block.layout = layout_.hash();
    block.bytes = gatherCells(blob, cells, read);
    block.checksum = blockChecksum(block.bytes);
    blocks.push_back(std::move(block));
  }
  return blocks;
}

void KvBlocks::importChain(llama_seq_id slot, const std::vector<const KvBlock*>& chain) const {
  if (!fault_.empty()) fail(fault_);
  if (llama_memory_seq_pos_max(llama_get_memory(context_), slot) >= 0) fail("blocks go into an empty sequence only");
  std::vector<KvPiece> pieces;
  uint32_t next = 0;
  for (const KvBlock* block : chain) {
    if (block->layout != layout_.hash()) fail("a block comes from another kind of cache");
    if (block->firstPosition != next) fail("a chain of blocks has a gap");
    if (block->bytes.size() != block->tokens * layout_.cellBytes() || blockChecksum(block->bytes) != block->checksum) {
      fail("a block is damaged");
    }
    pieces.push_back({block->bytes.data(), block->tokens});
    next += block->tokens;
  }
  if (next == 0) return;
  if (next > llama_n_ctx_seq(context_)) fail("a chain of blocks is longer than the sequence may be");
  writeSequence(slot, assembleKvBlob(layout_, slot, pieces));
}

}  // namespace llamaestro
