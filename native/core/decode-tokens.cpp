// What a computed step leads to: progress of prompts, next tokens, their text and events. Tokens come first, since the
// next step needs them and not their text; where a device works by itself, the text is made while it computes that
// step. A stop string is found one token late then: what was computed behind it is in the cache, and nobody draws from
// it.
#include <utility>

#include "decode-loop.h"
#include "logit-scan.h"
#include "sampling-share.h"

namespace llamaestro {

void DecodeLoop::pass(const SequencePtr& sequence, const DecodeRow& row) {
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
}

// Siblings come before their leader, whose slot may be empty afterwards.
std::vector<DecodeLoop::Draw> DecodeLoop::drawsOf(const std::vector<DecodeRow>& rows,
                                                  const std::vector<SequencePtr>& owners) {
  std::vector<Draw> draws;
  for (size_t i = 0; i < rows.size(); ++i) {
    const SequencePtr& owner = owners[i];
    if (!rows[i].wantsOutput || owner->slot == Sequence::kNoSlot || !owner->generating()) continue;
    const float* logits = llama_get_logits_ith(parts_.context, rows[i].outputIndex);
    if (logits == nullptr) {
      fail(owner, {codes::kInternal, "llama.cpp gave no logits", {}, {}});
      continue;
    }
    for (const SequencePtr& sibling : owner->siblings) {
      sibling->follow(*owner);
      waiting_.push_back(sibling);
      draws.push_back({sibling, logits, {}, {}});
    }
    draws.push_back({owner, logits, {}, {}});
  }
  return draws;
}

void DecodeLoop::drawAll(std::vector<Draw>& draws) {
  std::vector<double> picksUs;
  for (const Draw& draw : draws) picksUs.push_back(draw.sequence->pickUs());
  const double worthUs = parts_.tellsLate ? kWorthSharingUs : kWorthSharingOnCpuUs;
  samplers_.run(draws.size(), samplingHelpers(picksUs, samplers_.helpers(), worthUs), [&](size_t i) {
    try {
      draws[i].pick = draws[i].sequence->pick(draws[i].logits, parts_.model);
    } catch (const NotFinite& thrown) {
      draws[i].error = thrown.error();
      draws[i].isNoNumber = true;
    } catch (...) {
      draws[i].error = currentError();
    }
  });
}

// Labels that share a beginning are looked at one after the other, each from where its way parts from those before.
void DecodeLoop::goBack(Sequence& sequence, const Sequence::Pick& pick) {
  if (pick.keepsState) sequence.afterPrompt = copyOut(parts_.context, sequence.slot);
  if (pick.returns) {
    llama_memory_seq_rm(memory_, sequence.slot, -1, -1);
    sequence.decodedTokens = 0;
    if (!copyIn(parts_.context, sequence.slot, *sequence.afterPrompt)) {
      throw Failure(codes::kInternal, "a prompt that was put aside does not fit any more");
    }
  }
  if (!pick.rewindTo) return;
  if (!llama_memory_seq_rm(memory_, sequence.slot, *pick.rewindTo, -1)) {
    throw Failure(codes::kInternal, "the cache of this model cannot be cut");
  }
  sequence.decodedTokens = static_cast<uint32_t>(*pick.rewindTo) - sequence.promptTokens();
}

void DecodeLoop::settle(Draw& draw) {
  const SequencePtr& sequence = draw.sequence;
  if (draw.isNoNumber) {
    spoil_.sawNoNumber(sequence->space());
    cache_.forgetAll();  // what was kept since the first of them may have some too
  }
  if (draw.error) return fail(sequence, *draw.error);
  try {
    goBack(*sequence, draw.pick);
  } catch (...) {
    return fail(sequence, currentError());
  }
  if (draw.pick.countsAsToken) parts_.counters.generatedTokens.fetch_add(1);
  const bool isLast = draw.pick.finish.has_value();
  untold_.push_back({sequence, std::move(draw.pick), isLast});
  if (isLast) leave(sequence, true);
}

// Leaves the context alone, which may be computing.
void DecodeLoop::tellUntold() {
  toldEnds_.reserve(toldEnds_.size() + untold_.size());  // once told it must not get lost
  for (Untold& one : std::exchange(untold_, {})) tell(one);
}

void DecodeLoop::tell(Untold& untold) {
  const SequencePtr& sequence = untold.sequence;
  std::optional<FinishedRow> row;
  try {
    Sequence::Outcome outcome = sequence->tell(untold.pick, parts_.model);
    const size_t count = untold.pick.countsAsToken ? 1 : 0;
    if (count > 0 || !outcome.text.empty() || outcome.parts) {
      if (untold.pick.logprobs) parts_.sink.logprobs(std::move(*untold.pick.logprobs));
      if (outcome.parts) parts_.sink.parts(std::move(*outcome.parts));
      parts_.sink.tokens(sequence->id, untold.pick.index, &untold.pick.token, count, outcome.text);
    }
    if (outcome.finish) {
      row = sequence->finishedRow(*outcome.finish);
      row->stopString = std::move(outcome.stopString);
    }
  } catch (...) {
    row = sequence->finishedRow(FinishReason::Error);
    row->error = currentError();
  }
  if (!row) return;
  if (untold.hasLeft) {
    conclude(sequence, std::move(*row));
  } else {
    toldEnds_.emplace_back(sequence, std::move(*row));
  }
}

void DecodeLoop::endTold() {
  for (auto& [sequence, row] : std::exchange(toldEnds_, {})) finish(sequence, std::move(row));
}

}  // namespace llamaestro
