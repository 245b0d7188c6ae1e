#include "decode-loop.h"

#include <algorithm>
#include <utility>

#include "log-hub.h"

namespace llamaestro {

DecodeLoop::DecodeLoop(LoopParts parts)
    : parts_(std::move(parts)),
      memory_(llama_get_memory(parts_.context)),
      // Recurrent states are computed in equal counts and consecutive slots whatever the layout.
      limits_{parts_.shape.chunkTokens, parts_.shape.batchTokens, parts_.shape.unified && parts_.model.isAbortable(),
              parts_.shape.alone, parts_.shape.minTokensToMove},
      room_{parts_.shape.slots, parts_.shape.unified ? parts_.shape.cells : 0},
      cache_(parts_.context, parts_.shape, parts_.counters),
      mailbox_(kMaxWaitingSequences + kMaxSlots),
      usedSlots_(parts_.shape.slots, false) {}

bool DecodeLoop::post(std::shared_ptr<Sequence> sequence) {
  return mailbox_.post(std::move(sequence)) == Mailbox<SequencePtr>::Post::Taken;
}

void DecodeLoop::run() {
  for (;;) {
    takeCommands();
    if (parts_.signal.closing.load()) break;
    try {
      endCancelled();
      admitWaiting();
      if (!active_.empty()) {
        fillHole();
        makeRoomForStep();
        step();
      }
    } catch (...) {
      // Nothing above is expected to throw but for want of memory; whoever runs is told, and the engine goes on.
      const Error error = currentError();
      for (const SequencePtr& sequence : std::vector<SequencePtr>(active_)) fail(sequence, error);
    }
    parts_.sink.publish();
  }
  mailbox_.close();
  takeCommands();
  endAll();
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

void DecodeLoop::step() {
  const std::vector<SequencePtr> planned = active_;
  std::vector<SlotView> views;
  for (const SequencePtr& sequence : planned) {
    views.push_back(sequence->view());
    ++sequence->waitedSteps;
  }
  for (const SequencePtr& sequence : waiting_) ++sequence->waitedSteps;
  for (const PlannedCall& call : planCalls(views, limits_)) {
    if (parts_.signal.closing.load()) return;
    // A prompt's chunk may take a quarter of a second: what is ready does not wait for it.
    if (call.tokens() > call.rows.size()) parts_.sink.publishNow();
    runCall(call, planned);
    // Each call is shown at once: a prompt's chunk behind it must not hold back tokens that are ready.
    parts_.sink.publish();
  }
}

void DecodeLoop::runCall(const PlannedCall& call, const std::vector<SequencePtr>& planned) {
  std::vector<DecodeRow> rows;
  std::vector<SequencePtr> owners;
  for (const PlannedRow& one : call.rows) {
    const SequencePtr& sequence = planned[one.view];
    if (sequence->cancelled.load() || sequence->slot == Sequence::kNoSlot) continue;
    DecodeRow row;
    row.work = sequence.get();
    row.slot = sequence->slot;
    row.firstPosition = sequence->positionAt(one.from);
    row.wantsOutput = one.wantsOutput;
    for (uint32_t i = 0; i < one.count; ++i) row.tokens.push_back(sequence->tokenAt(one.from + i));
    rows.push_back(std::move(row));
    owners.push_back(sequence);
  }
  if (rows.empty()) return;
  logBefore_ = newestLogNumber();
  const Decoder::Outcome outcome = parts_.decoder.decode(rows);
  if (outcome == Decoder::Outcome::Stopped) return;  // the next step plans the neighbours again
  if (outcome == Decoder::Outcome::NoRoom && active_.size() > 1) {
    // Not expected where cells are counted; a sliding window has cells that we do not count.
    park(active_[*whoGivesWay(claims())]);
    return;
  }
  for (size_t i = 0; i < rows.size(); ++i) {
    if (outcome != Decoder::Outcome::Done) {
      const std::string line = lastErrorLine(logBefore_);
      fail(owners[i],
           {codes::kInternal, "llama.cpp could not compute this step" + (line.empty() ? "" : ": " + line), {}, {}});
    } else {
      advance(owners[i], rows[i]);
    }
  }
}

void DecodeLoop::advance(const SequencePtr& sequence, const DecodeRow& row) {
  const bool isPrompt = !sequence->generating();
  if (isPrompt) {
    const auto count = static_cast<uint32_t>(row.tokens.size());
    sequence->doneTokens += count;
    sequence->waitedSteps = 0;
    parts_.counters.promptTokens.fetch_add(count);
  } else {
    ++sequence->decodedTokens;
  }
  cache_.passed(*sequence);
  if (isPrompt && !sequence->isJob()) {
    parts_.sink.prefill(sequence->id, sequence->doneTokens, sequence->promptTokens());
  }
  if (!row.wantsOutput) return;
  try {
    const float* logits = llama_get_logits_ith(parts_.context, row.outputIndex);
    if (logits == nullptr) throw Failure(codes::kInternal, "llama.cpp gave no logits");
    if (!sequence->siblings.empty()) fanOut(sequence, logits);
    emitSample(sequence, logits);
  } catch (...) {
    fail(sequence, currentError());
  }
}

void DecodeLoop::emitSample(const SequencePtr& sequence, const float* logits) {
  Sequence::Outcome outcome = sequence->sample(logits, parts_.model);
  if (outcome.rewindTo && !llama_memory_seq_rm(memory_, sequence->slot, *outcome.rewindTo, -1)) {
    throw Failure(codes::kInvalidRequest, "this model cannot go back: its labels must differ in their first tokens",
                  "labels");
  }
  if (outcome.rewindTo) sequence->decodedTokens = static_cast<uint32_t>(*outcome.rewindTo) - sequence->promptTokens();
  const size_t count = outcome.countsAsToken ? 1 : 0;
  parts_.counters.generatedTokens.fetch_add(count);
  if (count > 0 || !outcome.text.empty() || outcome.parts) {
    const auto firstIndex = static_cast<uint32_t>(sequence->generatedTokens - count);
    if (outcome.logprobs) parts_.sink.logprobs(std::move(*outcome.logprobs));
    if (outcome.parts) parts_.sink.parts(std::move(*outcome.parts));
    parts_.sink.tokens(sequence->id, firstIndex, &sequence->newest, count, outcome.text);
  }
  if (!outcome.finish) return;
  FinishedRow row = sequence->finishedRow(*outcome.finish);
  row.stopString = std::move(outcome.stopString);
  finish(sequence, std::move(row));
}

void DecodeLoop::fail(const SequencePtr& sequence, const Error& error) {
  FinishedRow row = sequence->finishedRow(FinishReason::Error);
  row.error = error;
  finish(sequence, std::move(row));
}

// Frees the slot before the event is shown: whoever sees the end may submit into it.
void DecodeLoop::finish(const SequencePtr& sequence, FinishedRow row) {
  if (sequence->slot != Sequence::kNoSlot) {
    if (!parts_.signal.closing.load()) cache_.left(*sequence, row.reason != FinishReason::Error);
    leaveSlot(sequence);
  } else {
    waiting_.erase(std::find(waiting_.begin(), waiting_.end(), sequence));
    parts_.counters.waiting.fetch_sub(1);
  }
  // A prompt that does not get done ends all choices that wait for it.
  for (const SequencePtr& sibling : std::exchange(sequence->siblings, {})) {
    FinishedRow same = sibling->finishedRow(row.reason);
    same.promptTokens = 0;
    same.error = row.error;
    parts_.counters.waiting.fetch_sub(1);
    parts_.works.remove(sibling->id);
    parts_.sink.finished(sibling->id, std::move(same));
  }
  parts_.works.remove(sequence->id);
  if (sequence->isJob()) {
    parts_.sink.job(sequence->jobRow(row));
  } else {
    parts_.sink.finished(sequence->id, std::move(row));
  }
}

void DecodeLoop::endAll() {
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
