// Internal and pure: which tokens go into the next decode calls. Who has which slot is given. Knows neither llama.cpp
// nor text.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace llamaestro {

// A sequence that has a slot.
struct SlotView {
  uint32_t slot = 0;          // its llama.cpp sequence id
  uint32_t doneTokens = 0;    // prompt tokens already computed
  uint32_t totalTokens = 0;   // prompt tokens; done == total: it generates
  uint32_t waitedSteps = 0;   // steps since its last chunk (or since it got the slot)
  uint64_t arrival = 0;       // order of submission
  int32_t priority = 0;       // prompts of a higher one go first, with the ageing of admission.h
  uint32_t budgetTokens = 0;  // tokens it may still generate
  bool outOfTurn = false;     // takes no part in this step, see AdapterTurns
  bool generating() const { return doneTokens == totalTokens; }
};

// Tokens [from, from + count) of one sequence; `view` indexes the input. Generating sequences have count 1.
struct PlannedRow {
  // Set: a token that nobody wants, in a slot that nobody has; the rest means nothing then.
  std::optional<uint32_t> padding;
  uint32_t view = 0;
  uint32_t from = 0;
  uint32_t count = 0;
  bool wantsOutput = false;  // sample after this call
};

// What one llama_decode gets; always one ubatch.
struct PlannedCall {
  std::vector<PlannedRow> rows;
  uint32_t tokens() const;
};

struct SchedulerLimits {
  uint32_t chunkTokens = 256;    // prefill grid: chunks end at multiples of it, so equal prefixes are computed alike
  uint32_t batchTokens = 256;    // most tokens of one call
  bool unified = false;          // one KV stream and no recurrent state: any mix fits one ubatch
  bool alone = false;            // one sequence a call
  uint32_t minTokensToMove = 8;  // a move pays when the sequence may still generate this many
  uint32_t mostPadding = 2;      // as many tokens more in a call cost no more than a second call
  uint32_t pieceTokens = 0;      // set: a chunk cut at multiples of it, into none smaller, keeps its bits
  uint32_t besideTokens = 256;   // most prompt tokens of a step beside a generating sequence, where chunks can be cut
};

// Of those whose turn it is: first every generating sequence, one token each; then prompts, shortest remainder first
// with ageing, until a chunk's worth of tokens is planned (the first always gets its chunk, or the piece of it that may
// be computed beside generating sequences). In the split layout a call
// holds equal counts and consecutive slots only, because llama.cpp would cut it into several ubatches otherwise; where
// few slots are missing between generating ones, they are padded.
std::vector<PlannedCall> planCalls(const std::vector<SlotView>& views, const SchedulerLimits& limits);

}  // namespace llamaestro
