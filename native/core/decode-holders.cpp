// What finished sequences leave in their slots: how much of it, for whom, and when it gives way. Their cells are free
// for everybody who needs them.
#include <algorithm>

#include "decode-loop.h"

namespace llamaestro {
namespace {

// Every query looks at all cells of a cache that slots share, up to the highest one in use: so many idle ones cost a
// few percent of a step, or this part of those in use.
constexpr uint64_t kIdleCells = 1024;
constexpr uint64_t kIdleShare = 4;

// Calls look at a multiple of this many cells.
constexpr uint32_t kCellGrid = 256;

}  // namespace

// Cells that choices of one request have in common are freed by the last of them, and only that one has all of its own.
uint32_t DecodeLoop::staysBehind(const Sequence& leaving) const {
  for (const SequencePtr& other : active_) {
    const bool shares = leaving.sharedCells > 0 && other->sharedCells > 0 && other->group == leaving.group;
    if (shares && other.get() != &leaving) return 0;
  }
  return cache_.worthHolding(leaving);
}

// Whatever lies behind the first `tokens` goes. False when the model cannot do that; the slot is empty then.
bool DecodeLoop::cutSlot(uint32_t slot, uint32_t tokens) {
  const auto id = static_cast<llama_seq_id>(slot);
  const auto end = static_cast<llama_pos>(tokens);
  const bool isCut = llama_memory_seq_pos_max(memory_, id) < end || llama_memory_seq_rm(memory_, id, end, -1);
  if (isCut && llama_memory_seq_pos_max(memory_, id) + 1 == end) return true;
  llama_memory_seq_rm(memory_, id, -1, -1);
  return false;
}

bool DecodeLoop::goOnFrom(uint32_t slot, uint32_t tokens) {
  holders_.remove(slot);
  return cutSlot(slot, tokens);
}

void DecodeLoop::dropHolder(uint32_t slot) {
  if (holders_.in(slot) == nullptr) return;
  holders_.remove(slot);
  llama_memory_seq_rm(memory_, static_cast<llama_seq_id>(slot), -1, -1);
}

void DecodeLoop::giveBack(uint64_t wantedCells) {
  while (room_.cells > 0 && wantedCells + holders_.cells() > room_.cells) {
    const std::optional<uint32_t> slot = holders_.oldest();
    if (!slot) return;
    dropHolder(*slot);
  }
}

void DecodeLoop::giveBackIdle() {
  if (!parts_.shape.scansIdleCells) return;
  const uint64_t most = std::max(kIdleCells, cellsOf(claims()) / kIdleShare);
  while (holders_.cells() > most) dropHolder(*holders_.oldest());
}

// A token that nobody wants, behind what is left in the slot if that can be taken back and makes no query longer.
DecodeRow DecodeLoop::paddingRow(uint32_t slot, const PlannedCall& call, const std::vector<SequencePtr>& planned) {
  uint32_t longest = 0;
  for (const PlannedRow& row : call.rows) {
    if (!row.padding) longest = std::max(longest, planned[row.view]->heldTokens() + 1);
  }
  DecodeRow row;
  row.slot = static_cast<llama_seq_id>(slot);
  row.tokens.push_back(0);
  const Holder* holder = holders_.in(slot);
  if (holder == nullptr) return row;
  const size_t reach = (longest + kCellGrid - 1) / kCellGrid * kCellGrid;
  if (parts_.model.isAbortable() && holder->tokens.size() < reach) {
    row.firstPosition = static_cast<llama_pos>(holder->tokens.size());
  } else {
    dropHolder(slot);
  }
  return row;
}

}  // namespace llamaestro
