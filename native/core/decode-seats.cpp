// Who has a slot: admission, making room, parking, moving, and the choices of one request that share a prompt.
#include <algorithm>
#include <utility>

#include "decode-loop.h"

namespace llamaestro {

std::vector<Claim> DecodeLoop::claims() const {
  std::vector<Claim> claims;
  for (const SequencePtr& sequence : active_) claims.push_back(sequence->claim());
  return claims;
}

std::vector<Seat> DecodeLoop::seats() const {
  std::vector<Seat> seats(parts_.shape.slots);
  for (const SequencePtr& sequence : active_) {
    const SlotView view = sequence->view();
    const bool stays = view.generating() && view.budgetTokens >= limits_.minTokensToMove;
    seats[view.slot] = {true, sequence->space(), stays, 0};
  }
  for (const Holder& holder : holders_.all()) seats[holder.slot].heldSince = holder.lastUse;
  return seats;
}

// Nobody overtakes the first in line, or large requests would wait for ever; but those whose prefix is being computed
// let the others pass.
void DecodeLoop::admitWaiting() {
  if (waiting_.empty()) return;
  const std::vector<SequencePtr> candidates = waiting_;
  std::vector<Claim> wanted;
  for (const SequencePtr& sequence : candidates) wanted.push_back(sequence->claim());
  for (size_t next : admissionOrder(wanted)) {
    Sequence& candidate = *candidates[next];
    if (candidate.doneTokens == 0 && cache_.shouldWait(candidate, active_, holders_)) continue;
    if (!makeRoomFor(candidate) || !seat(candidates[next], nullptr)) return;
  }
}

// What is put aside takes host memory: nobody new starts while more than a whole cache of it waits.
bool DecodeLoop::makeRoomFor(const Sequence& sequence) {
  uint64_t parkedTokens = 0;
  for (const SequencePtr& one : waiting_) {
    if (one->parked) parkedTokens += one->claim().cells;
  }
  const bool isFull = parkedTokens > parts_.shape.cells;
  if (isFull && !sequence.parked) return active_.empty();
  const std::vector<Claim> running = claims();
  if (admits(running, sequence.claim(), room_)) return true;
  if (isFull) return false;
  std::vector<SequencePtr> leaving;
  for (size_t one : whoGivesWayTo(sequence.claim(), running, room_)) leaving.push_back(active_[one]);
  for (const SequencePtr& one : leaving) park(one);
  return !leaving.empty();
}

void DecodeLoop::makeRoomForStep() {
  std::vector<Claim> running = claims();
  for (; !holds(running, room_); running = claims()) {
    const std::optional<size_t> one = whoGivesWay(running);
    if (!one) break;
    park(active_[*one]);
  }
  giveBack(cellsOf(running));
}

// Gives a waiting sequence a slot, with what it had computed or what `copyFrom` has. False when the cells do not
// suffice after all: it goes on waiting.
bool DecodeLoop::seat(const SequencePtr& sequence, const Sequence* copyFrom) {
  std::optional<uint32_t> slot = chooseSeat(seats(), sequence->space(), limits_);
  if (!slot) return false;
  PrefixCache::InPlace inPlace;
  if (sequence->doneTokens == 0) inPlace = cache_.inPlace(*sequence, holders_, holders_.in(*slot) == nullptr);
  if (inPlace.tokens > 0) slot = inPlace.slot;
  const bool goesOn = inPlace.tokens > 0 && goOnFrom(*slot, inPlace.tokens);
  dropHolder(*slot);
  std::vector<Claim> all = claims();
  all.push_back(sequence->claim());
  giveBack(cellsOf(all));
  const auto id = static_cast<llama_seq_id>(*slot);
  try {
    if (copyFrom != nullptr) copyAcross(parts_.context, copyFrom->slot, {id});
    if (sequence->parked && !copyIn(parts_.context, id, *sequence->parked)) {
      if (!active_.empty()) return false;
      throw Failure(codes::kInternal, "a sequence that was put aside does not fit any more");
    }
  } catch (...) {
    llama_memory_seq_rm(memory_, id, -1, -1);
    fail(sequence, currentError());
    return true;
  }
  sequence->parked.reset();
  waiting_.erase(std::find(waiting_.begin(), waiting_.end(), sequence));
  if (active_.empty()) parts_.counters.busySinceMs.store(monotonicMs());
  sequence->slot = id;
  sequence->waitedSteps = 0;
  if (goesOn) {
    cache_.startInPlace(*sequence, inPlace.tokens);
  } else if (sequence->doneTokens == 0) {
    cache_.start(*sequence);
  }
  active_.push_back(sequence);
  parts_.counters.waiting.fetch_sub(1);
  parts_.counters.running.fetch_add(1);
  if (!sequence->hasStarted()) {
    sequence->markStarted();
    if (!sequence->isJob()) {
      parts_.sink.started(sequence->id, sequence->promptTokens(), sequence->cachedTokens);
    }
  }
  return true;
}

void DecodeLoop::leaveSlot(const SequencePtr& sequence, uint32_t holds) {
  const auto slot = static_cast<uint32_t>(sequence->slot);
  if (holds > 0 && cutSlot(slot, holds)) {
    holders_.add(slot, sequence->space(), sequence->beginning(holds));
  } else {
    llama_memory_seq_rm(memory_, sequence->slot, -1, -1);
  }
  sequence->slot = Sequence::kNoSlot;
  active_.erase(std::find(active_.begin(), active_.end(), sequence));
  parts_.counters.running.fetch_sub(1);
}

void DecodeLoop::park(SequencePtr sequence) {
  try {
    // Without a computed token there is nothing to keep.
    if (sequence->doneTokens > 0) sequence->parked = copyOut(parts_.context, sequence->slot);
  } catch (...) {
    fail(sequence, currentError());
    return;
  }
  leaveSlot(sequence);
  sequence->sharedCells = 0;
  sequence->waitedSteps = 0;
  waiting_.push_back(sequence);
  parts_.counters.waiting.fetch_add(1);
  parts_.counters.parked.fetch_add(1);
}

// The prompt is computed once: each choice has drawn its own first token from the same logits. Those that have room
// take the cache over at once, the others wait with a copy in host memory. A copy for all where cells cannot be shared:
// a sliding window recycles cells of one owner only, and of a recurrent state that four share one comes out wrong.
void DecodeLoop::fanOut(const SequencePtr& leader) {
  const bool mayShare =
      parts_.model.isAbortable() && (!parts_.shape.unified || llama_model_n_swa(parts_.model.raw()) == 0);
  std::vector<SequencePtr> going;
  for (const SequencePtr& sibling : std::exchange(leader->siblings, {})) {
    if (std::find(waiting_.begin(), waiting_.end(), sibling) != waiting_.end()) going.push_back(sibling);
  }
  if (going.empty()) return;
  std::shared_ptr<const ParkedState> copy;
  if (parts_.shape.unified && mayShare) leader->sharedCells = leader->promptTokens();
  for (const SequencePtr& sibling : going) {
    if (mayShare) {
      if (parts_.shape.unified) sibling->sharedCells = sibling->promptTokens();
      if (admits(claims(), sibling->claim(), room_) && seat(sibling, leader.get())) continue;
      sibling->sharedCells = 0;
    }
    try {
      if (!copy) copy = copyOut(parts_.context, leader->slot);
      sibling->parked = copy;
    } catch (...) {
      fail(sibling, currentError());
    }
  }
}

void DecodeLoop::fillHole() {
  std::vector<Seat> now = seats();
  if (now == settled_) return;
  const std::optional<SlotMove> move = planMove(now, limits_);
  if (!move) {
    settled_ = std::move(now);
    return;
  }
  dropHolder(move->to);
  const auto from = static_cast<llama_seq_id>(move->from);
  const auto to = static_cast<llama_seq_id>(move->to);
  if (parts_.model.isAbortable()) {
    copyAcross(parts_.context, from, {to});
    llama_memory_seq_rm(memory_, from, -1, -1);
  } else {
    const auto state = copyOut(parts_.context, from);
    llama_memory_seq_rm(memory_, from, -1, -1);
    if (!copyIn(parts_.context, to, *state)) throw Failure(codes::kInternal, "a sequence could not be moved");
  }
  for (const SequencePtr& sequence : active_) {
    if (sequence->slot == from) sequence->slot = to;
  }
}

}  // namespace llamaestro
