#include "decode-loop.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "chunk-choice.h"
#include "insist.h"
#include "log-hub.h"
#include "logit-scan.h"

namespace llamaestro {
namespace {

// Where a device has far more arithmetic than it needs for a few rows, many more cost nothing.
constexpr uint32_t kPaddingOnCpu = 2;
constexpr uint32_t kPaddingOnGpu = 8;

SchedulerLimits limitsOf(const ContextShape& shape, bool isAbortable) {
  SchedulerLimits limits;
  limits.chunkTokens = shape.chunkTokens;
  limits.batchTokens = shape.batchTokens;
  // Recurrent states are computed in equal counts and consecutive slots whatever the layout.
  limits.unified = shape.unified && isAbortable;
  limits.alone = shape.alone;
  limits.minTokensToMove = shape.minTokensToMove;
  // Cells that are shared are counted.
  limits.mostPadding = shape.unified ? 0 : shape.allOnCpu ? kPaddingOnCpu : kPaddingOnGpu;
  return limits;
}

}  // namespace

DecodeLoop::DecodeLoop(LoopParts parts)
    : parts_(std::move(parts)),
      memory_(llama_get_memory(parts_.context)),
      limits_(limitsOf(parts_.shape, parts_.model.isAbortable())),
      room_{parts_.shape.slots, parts_.shape.unified ? parts_.shape.cells : 0},
      cache_(parts_.context, parts_.shape, parts_.counters),
      books_(parts_.context, parts_.shape.slots),
      mailbox_(kMaxWaitingSequences + kMaxSlots),
      samplers_(std::max(1u, std::min(parts_.samplingThreads, parts_.shape.slots)) - 1) {
  limits_.pieceTokens = cache_.pieceTokens();
  // Nobody gets lost on the way from one list to another for want of memory.
  waiting_.reserve(kMaxWaitingSequences + 2 * kMaxSlots);
  active_.reserve(parts_.shape.slots);
}

bool DecodeLoop::post(std::shared_ptr<Sequence> sequence) {
  return mailbox_.post(std::move(sequence)) == Mailbox<SequencePtr>::Post::Taken;
}

void DecodeLoop::run() {
  while (!parts_.signal.closing.load()) {
    try {
      turn();
    } catch (...) {
      // Nothing of it is expected to throw but for want of memory; whoever runs is told, and the engine goes on.
      failActive(currentError());
    }
  }
  mailbox_.close();
  insist([this] { takeCommands(); });
  insist([this] { endAll(); });
}

void DecodeLoop::turn() {
  takeCommands();
  if (parts_.signal.closing.load()) return;
  endCancelled();
  clearSpoiled();
  admitWaiting();
  if (!active_.empty()) {
    fillHole();
    makeRoomForStep();
    giveBackIdle();
    step();
  }
  if (active_.empty()) tellUntold();  // nothing is computed meanwhile
  endTold();
  recountCells();
  parts_.sink.publish();
}

void DecodeLoop::failActive(const Error& error) {
  insist([this] { tellUntold(); });
  // Choices that have drawn their first token and got neither a slot nor a copy of their prompt.
  for (size_t at = waiting_.size(); at-- > 0;) {
    if (at >= waiting_.size()) continue;
    const SequencePtr sequence = waiting_[at];
    if (sequence->doneTokens > 0 && !sequence->parked) insist([&] { fail(sequence, error); });
  }
  for (size_t at = active_.size(); at-- > 0;) {
    if (at >= active_.size()) continue;
    const SequencePtr sequence = active_[at];
    insist([&] {
      fail(sequence, error);
      if (sequence->slot != Sequence::kNoSlot) leaveSlot(sequence);  // its end was told before it had left
    });
  }
  // Whatever was cut short on its way into a slot or out of one is nobody's now.
  while (const std::optional<uint32_t> slot = holders_.oldest()) dropHolder(*slot);
  llama_memory_clear(memory_, true);
  insist([this] { parts_.sink.publishNow(); });
}

void DecodeLoop::recountCells() {
  std::vector<Claim> held = claims();
  for (size_t i = 0; i < held.size(); ++i) {
    held[i].cells = active_[i]->heldTokens();
    if (!books_.countsSharedOnce()) held[i].sharedCells = 0;
  }
  parts_.counters.noteCells(cellsOf(held) + holders_.cells(), books_.recount());
  parts_.counters.heldCells.store(static_cast<uint32_t>(holders_.cells()));
}

void DecodeLoop::takeCommands() {
  const bool idle = active_.empty() && waiting_.empty();
  if (idle) becomeIdle();
  for (SequencePtr& sequence : mailbox_.take(idle && !parts_.signal.closing.load())) {
    waiting_.push_back(std::move(sequence));
  }
}

void DecodeLoop::becomeIdle() {
  parts_.counters.busySinceMs.store(0);
  parts_.onIdle();
}

void DecodeLoop::endCancelled() {
  for (const SequencePtr& sequence : std::vector<SequencePtr>(active_)) {
    if (sequence->cancelled.load()) finish(sequence, sequence->finishedRow(FinishReason::Cancelled));
  }
  for (const SequencePtr& sequence : std::vector<SequencePtr>(waiting_)) {
    if (sequence->cancelled.load()) finish(sequence, sequence->finishedRow(FinishReason::Cancelled));
  }
}

// All that have a slot. One adapter set has its turn, and the context uses that from here on.
std::vector<SlotView> DecodeLoop::viewsOfTurn() {
  std::vector<uint64_t> present;
  for (const SequencePtr& sequence : active_) present.push_back(sequence->space());
  const uint64_t turn = turns_.next(present);
  std::vector<SlotView> views;
  for (const SequencePtr& sequence : active_) {
    views.push_back(sequence->view());
    views.back().outOfTurn = sequence->space() != turn;
    if (views.back().outOfTurn || appliedSpace_ == turn) continue;
    appliedSpace_.reset();  // cut short, it leaves neither the old set nor the new one
    parts_.model.adapters().apply(parts_.context, sequence->adapters());
    appliedSpace_ = turn;
  }
  return views;
}

void DecodeLoop::step() {
  const uint64_t beganMs = monotonicMs();
  const std::vector<SequencePtr> planned = active_;
  const std::vector<SlotView> views = viewsOfTurn();
  limits_.besideTokens = pace_.tokensWithin(kMaxChunkMs);
  for (const SequencePtr& sequence : planned) ++sequence->waitedSteps;
  for (const SequencePtr& sequence : waiting_) ++sequence->waitedSteps;
  for (const PlannedCall& call : planCalls(views, limits_)) {
    if (parts_.signal.closing.load() || spoil_.isSpoiled()) return;
    // A prompt's chunk may take a quarter of a second: what is ready does not wait for it.
    if (call.tokens() > call.rows.size()) parts_.sink.publishNow();
    runCall(call, planned);
    recountCells();
    // Each call is shown at once: a prompt's chunk behind it must not hold back tokens that are ready.
    parts_.sink.publish();
  }
  turns_.spent(static_cast<double>(monotonicMs() - beganMs));
}

void DecodeLoop::runCall(const PlannedCall& call, const std::vector<SequencePtr>& planned) {
  std::vector<DecodeRow> rows;
  std::vector<SequencePtr> owners;
  for (const PlannedRow& one : call.rows) {
    if (one.padding) {
      rows.push_back(paddingRow(*one.padding, call, planned));
      owners.push_back(nullptr);
      continue;
    }
    const SequencePtr& sequence = planned[one.view];
    if (sequence->cancelled.load() || sequence->slot == Sequence::kNoSlot) continue;
    DecodeRow row;
    row.work = sequence.get();
    row.slot = sequence->slot;
    row.firstPosition = sequence->positionAt(one.from);
    row.wantsOutput = one.wantsOutput || spoil_.isUnknown(sequence->space());
    for (uint32_t i = 0; i < one.count; ++i) row.tokens.push_back(sequence->tokenAt(one.from + i));
    rows.push_back(std::move(row));
    owners.push_back(sequence);
  }
  if (std::all_of(owners.begin(), owners.end(), [](const SequencePtr& owner) { return !owner; })) return;
  logBefore_ = newestLogNumber();
  const bool isLong = call.tokens() > call.rows.size();
  const Decoder::Outcome outcome = parts_.decoder.decode(rows, [&] {
    if (!parts_.tellsLate) return;
    tellUntold();
    if (isLong) {
      parts_.sink.publishNow();
    } else {
      parts_.sink.publish();
    }
  });
  if (isLong && outcome == Decoder::Outcome::Done) {
    pace_.note(call.tokens(), static_cast<double>(parts_.decoder.lastMs()));
  }
  removePadding(rows, owners);
  tellUntold();
  lookAtUnknown(outcome, rows, owners);
  if (outcome == Decoder::Outcome::Done) {
    for (size_t i = 0; i < rows.size(); ++i) {
      if (owners[i]->slot != Sequence::kNoSlot) pass(owners[i], rows[i]);
    }
  }
  // Not expected where cells are counted; a sliding window has cells that we do not count.
  if (outcome == Decoder::Outcome::NoRoom && !holders_.empty()) {
    while (const std::optional<uint32_t> slot = holders_.oldest()) dropHolder(*slot);
    return endTold();
  }
  const bool hadNeighbours = active_.size() > 1;
  endTold();
  if (outcome == Decoder::Outcome::Stopped) return;  // the next step plans the neighbours again
  if (outcome == Decoder::Outcome::NoRoom && hadNeighbours) {
    // An end makes room too.
    if (active_.size() > 1) park(active_[*whoGivesWay(claims())]);
    return;
  }
  if (outcome != Decoder::Outcome::Done) {
    const std::string line = lastErrorLine(logBefore_);
    const std::string message = "llama.cpp could not compute this step" + (line.empty() ? "" : ": " + line);
    for (const SequencePtr& owner : owners) fail(owner, {codes::kInternal, message, {}, {}});
    return;
  }
  std::vector<Draw> draws = drawsOf(rows, owners);
  drawAll(draws);
  for (Draw& draw : draws) {
    if (!draw.sequence->siblings.empty()) fanOut(draw.sequence);
    settle(draw);
  }
  if (parts_.tellsLate) return;
  tellUntold();
  endTold();
}

// The first calls of an adapter set, which is that of all rows: whoever shows no number ends before anybody else is
// computed beside it.
void DecodeLoop::lookAtUnknown(Decoder::Outcome outcome, const std::vector<DecodeRow>& rows,
                               const std::vector<SequencePtr>& owners) {
  const uint64_t space = owners.front()->space();
  if (!spoil_.isUnknown(space)) return;
  if (outcome == Decoder::Outcome::NoRoom) return;  // nothing was computed
  if (outcome != Decoder::Outcome::Done) return spoil_.sawNoNumber(space);
  bool isFinite = true;
  for (size_t i = 0; i < rows.size(); ++i) {
    const float* logits = llama_get_logits_ith(parts_.context, rows[i].outputIndex);
    if (logits != nullptr && !std::isnan(*logits)) continue;
    isFinite = false;
    fail(owners[i], NotFinite().error());
  }
  if (isFinite) {
    spoil_.sawNumbers(space);
  } else {
    spoil_.sawNoNumber(space);
  }
}

// Those that are computed with others' cells in between go on from copies: what a copy holds is the sequence's own.
void DecodeLoop::clearSpoiled() {
  if (!spoil_.isSpoiled()) return;
  for (const SequencePtr& sequence : std::vector<SequencePtr>(active_)) park(sequence);
  while (const std::optional<uint32_t> slot = holders_.oldest()) dropHolder(*slot);
  llama_memory_clear(memory_, true);
  spoil_.cleared();
}

void DecodeLoop::removePadding(std::vector<DecodeRow>& rows, std::vector<SequencePtr>& owners) {
  for (size_t i = rows.size(); i-- > 0;) {
    if (owners[i]) continue;
    llama_memory_seq_rm(memory_, rows[i].slot, rows[i].firstPosition, -1);
    rows.erase(rows.begin() + static_cast<ptrdiff_t>(i));
    owners.erase(owners.begin() + static_cast<ptrdiff_t>(i));
  }
}

void DecodeLoop::fail(const SequencePtr& sequence, const Error& error) {
  FinishedRow row = sequence->finishedRow(FinishReason::Error);
  row.error = error;
  finish(sequence, std::move(row));
}

// Frees the slot before the event is shown: whoever sees the end may submit into it.
void DecodeLoop::finish(const SequencePtr& sequence, FinishedRow row) {
  tellUntold();  // nothing is said after the end
  if (sequence->hasEnded) return;
  leave(sequence, row.reason != FinishReason::Error);
  conclude(sequence, std::move(row));
}

void DecodeLoop::leave(const SequencePtr& sequence, bool intact) {
  if (sequence->slot != Sequence::kNoSlot) {
    const bool goesOn = !parts_.signal.closing.load();
    if (goesOn) cache_.left(*sequence, intact);
    leaveSlot(sequence, goesOn && intact ? staysBehind(*sequence) : 0);
  } else {
    waiting_.erase(std::find(waiting_.begin(), waiting_.end(), sequence));
    parts_.counters.waiting.fetch_sub(1);
  }
}

void DecodeLoop::conclude(const SequencePtr& sequence, FinishedRow row) {
  sequence->hasEnded = true;
  // A prompt that does not get done ends all choices that wait for it.
  for (const SequencePtr& sibling : std::exchange(sequence->siblings, {})) {
    if (sibling->hasEnded) continue;
    sibling->hasEnded = true;
    const auto place = std::find(waiting_.begin(), waiting_.end(), sibling);
    if (place != waiting_.end()) waiting_.erase(place);
    FinishedRow same = sibling->finishedRow(row.reason);
    same.promptTokens = 0;
    insist([&] { same.error = row.error; });
    parts_.counters.waiting.fetch_sub(1);
    parts_.works.remove(sibling->id);
    insist([&] { parts_.sink.finished(sibling->id, std::move(same)); });
  }
  parts_.works.remove(sequence->id);
  if (sequence->isJob()) {
    insist([&] { parts_.sink.job(sequence->jobRow(row)); });
  } else {
    insist([&] { parts_.sink.finished(sequence->id, std::move(row)); });
  }
}

void DecodeLoop::endAll() {
  tellUntold();
  endTold();
  for (const SequencePtr& sequence : std::vector<SequencePtr>(active_)) {
    finish(sequence, sequence->finishedRow(FinishReason::Cancelled));
  }
  for (const SequencePtr& sequence : std::vector<SequencePtr>(waiting_)) {
    finish(sequence, sequence->finishedRow(FinishReason::Cancelled));
  }
  parts_.counters.busySinceMs.store(0);
  parts_.sink.publish();
}

}  // namespace llamaestro
