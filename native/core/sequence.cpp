#include "sequence.h"

#include <algorithm>
#include <cmath>

#include "error.h"
#include "logit-scan.h"
#include "numbers.h"
#include "schema-grammar.h"

namespace llamaestro {
namespace {

double millisecondsBetween(Sequence::Clock::time_point from, Sequence::Clock::time_point to) {
  return std::chrono::duration<double, std::milli>(to - from).count();
}

std::vector<std::string> checkStops(const std::vector<std::string>& stops) {
  if (stops.size() > kMaxStopStrings) {
    throw Failure(codes::kInvalidRequest, "stop takes at most " + std::to_string(kMaxStopStrings) + " strings", "stop");
  }
  for (const std::string& stop : stops) {
    if (stop.empty() || stop.size() > kMaxStopBytes) {
      throw Failure(codes::kInvalidRequest, "a stop string has 1 to " + std::to_string(kMaxStopBytes) + " bytes",
                    "stop");
    }
  }
  return stops;
}

std::vector<llama_token> checkPrompt(const SequenceRequest& request, const Model& model, uint32_t tokensPerSlot) {
  std::vector<llama_token> tokens = model.tokenize(request.prompt);
  if (tokens.empty()) throw Failure(codes::kInvalidRequest, "the prompt has no tokens", "prompt");
  if (tokens.size() >= tokensPerSlot) {
    throw Failure(codes::kContextLengthExceeded,
                  "the prompt has " + std::to_string(tokens.size()) + " tokens and a slot of this model holds " +
                      std::to_string(tokensPerSlot) + ", the answer included",
                  "prompt",
                  {{"promptTokens", static_cast<double>(tokens.size())},
                   {"contextTokensPerSlot", static_cast<double>(tokensPerSlot)}});
  }
  return tokens;
}

std::optional<Grammar> grammarOf(const SequenceRequest& request, const Model& model) {
  if (!request.grammar.empty() && !request.jsonSchema.empty()) {
    throw Failure(codes::kInvalidRequest, "give a grammar or a jsonSchema, not both", "grammar");
  }
  if (!request.grammar.empty()) return Grammar(model.vocab(), request.grammar, "grammar", false);
  if (request.jsonSchema.empty()) return std::nullopt;
  return Grammar(model.vocab(), schemaToGrammar(request.jsonSchema), "jsonSchema", true);
}

TokenChance chanceOf(llama_token token, float logit, double total, const Model& model) {
  const auto logprob = static_cast<float>(std::min(0.0, logit - total));
  return {static_cast<uint32_t>(token), logprob, model.piece(token)};
}

LogprobRow logprobsOf(const float* logits, llama_token token, uint32_t alternatives, const Model& model) {
  const auto vocabSize = static_cast<int32_t>(model.vocabSize());
  const double total = logSumExp(logits, vocabSize);
  LogprobRow row;
  row.token = chanceOf(token, logits[token], total, model);
  if (alternatives == 0) return row;
  std::vector<llama_token_data> best;
  selectTop(logits, vocabSize, static_cast<int32_t>(alternatives), best);
  for (const llama_token_data& one : best) {
    // A token that cannot come is no alternative, and JSON has no word for its logarithm.
    if (std::isfinite(one.logit)) row.top.push_back(chanceOf(one.id, one.logit, total, model));
  }
  return row;
}

}  // namespace

Sequence::Sequence(uint32_t id, const SequenceRequest& request, const Model& model, uint32_t tokensPerSlot)
    : Work(id),
      prompt_(checkPrompt(request, model, tokensPerSlot)),
      ignoreEos_(request.ignoreEos),
      cachesPrompt_(request.cachePrompt),
      stops_(checkStops(request.stop)),
      logprobs_(wholeNumber(request.logprobs, "logprobs", 0, kMaxLogprobs)),
      sampler_(model.raw(), resolveSampling(request, model.vocabSize()), grammarOf(request, model), prompt_),
      text_(stops_) {
  const uint32_t room = tokensPerSlot - promptTokens();
  const std::optional<uint32_t> wanted = wholeNumber(request.maxTokens, "maxTokens", 1, tokensPerSlot);
  maxTokens_ = std::min(room, wanted.value_or(room));
}

SlotView Sequence::view() const {
  SlotView view;
  view.slot = static_cast<uint32_t>(slot);
  view.doneTokens = doneTokens;
  view.totalTokens = promptTokens();
  view.waitedSteps = waitedSteps;
  view.arrival = id;
  view.budgetTokens = maxTokens_ - generatedTokens;
  return view;
}

llama_pos Sequence::positionAt(uint32_t index) const {
  const uint32_t at = generating() ? promptTokens() + generatedTokens - 1 : index;
  return static_cast<llama_pos>(at);
}

Sequence::Outcome Sequence::sample(const float* logits, const Model& model) {
  newest = sampler_.pick(logits);
  if (!firstTokenAt_) firstTokenAt_ = Clock::now();
  Outcome outcome;
  // No token at all: a grammar is at its end.
  if (newest == LLAMA_TOKEN_NULL || (!ignoreEos_ && llama_vocab_is_eog(model.vocab(), newest))) {
    outcome.text = text_.flush();
    outcome.finish = FinishReason::Stop;
    return outcome;
  }
  outcome.countsAsToken = true;
  ++generatedTokens;
  if (logprobs_) outcome.logprobs = logprobsOf(logits, newest, *logprobs_, model);
  TextStream::Out shown = text_.push(model.piece(newest));
  outcome.text = std::move(shown.text);
  if (shown.stop) {
    outcome.finish = FinishReason::Stop;
    outcome.stopString = stops_[*shown.stop];
  } else if (generatedTokens >= maxTokens_) {
    outcome.text += text_.flush();
    outcome.finish = FinishReason::Length;
  }
  return outcome;
}

FinishedRow Sequence::finishedRow(FinishReason reason) const {
  const Clock::time_point now = Clock::now();
  FinishedRow row;
  row.reason = reason;
  row.promptTokens = promptTokens();
  row.cachedTokens = cachedTokens;
  row.completionTokens = generatedTokens;
  row.queueMs = millisecondsBetween(submittedAt_, startedAt_.value_or(now));
  if (startedAt_) row.prefillMs = millisecondsBetween(*startedAt_, firstTokenAt_.value_or(now));
  if (firstTokenAt_) row.decodeMs = millisecondsBetween(*firstTokenAt_, now);
  return row;
}

}  // namespace llamaestro
