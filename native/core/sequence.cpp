#include "sequence.h"

#include <algorithm>
#include <cmath>

#include "chat-syntax.h"
#include "error.h"
#include "logit-scan.h"
#include "numbers.h"
#include "schema-grammar.h"

namespace llamaestro {
namespace {

// How much of what a choice has taken is expected of the next one.
constexpr double kPickMemory = 0.9;

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

std::vector<llama_token> checkPrompt(std::vector<llama_token> tokens, uint32_t tokensPerSlot) {
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

int32_t checkPriority(const Number& priority) {
  const double given = rangedNumber(priority, "priority", -kMaxPriority, kMaxPriority, 0);
  if (given != std::floor(given)) throw Failure(codes::kInvalidRequest, "priority must be a whole number", "priority");
  return static_cast<int32_t>(given);
}

std::optional<Grammar> grammarOf(const SequenceRequest& request, const Model& model) {
  if (!request.grammar.empty() && !request.jsonSchema.empty()) {
    throw Failure(codes::kInvalidRequest, "give a grammar or a jsonSchema, not both", "grammar");
  }
  if (!request.grammar.empty()) return Grammar(model.vocab(), request.grammar, "grammar", false);
  if (request.jsonSchema.empty()) return std::nullopt;
  return Grammar(model.vocab(), schemaToGrammar(request.jsonSchema), "jsonSchema", true);
}

Constraint constraintOf(const SequenceRequest& request, const Model& model, const ChatSyntax* syntax) {
  std::optional<Grammar> asked = grammarOf(request, model);
  if (syntax == nullptr) return Constraint(std::move(asked));
  if (asked && !syntax->grammar.empty()) {
    throw Failure(codes::kInvalidRequest, "give tools or a constraint of the answer, not both", "tools");
  }
  return Constraint(model.vocab(), *syntax, std::move(asked));
}

// Tokens of a label as it stands behind a line break: some tokenizers put a space before the first word of a text.
std::vector<llama_token> labelTokens(const std::string& label, const Model& model) {
  const std::vector<llama_token> before = model.tokenizeText("\n", false, false);
  std::vector<llama_token> tokens = model.tokenizeText("\n" + label, false, false);
  const bool isBehind = tokens.size() > before.size() && std::equal(before.begin(), before.end(), tokens.begin());
  if (!isBehind) return model.tokenizeText(label, false, false);
  tokens.erase(tokens.begin(), tokens.begin() + static_cast<ptrdiff_t>(before.size()));
  return tokens;
}

LabelScorer scorerOf(const std::vector<std::string>& labels, const Model& model) {
  const auto refuse = [](const std::string& why) { throw Failure(codes::kInvalidRequest, why, "labels"); };
  if (labels.size() < 2 || labels.size() > kMaxLabels) {
    refuse("labels takes 2 to " + std::to_string(kMaxLabels) + " texts");
  }
  std::vector<std::vector<llama_token>> all;
  for (const std::string& label : labels) {
    if (label.empty() || label.size() > kMaxLabelBytes) {
      refuse("a label has 1 to " + std::to_string(kMaxLabelBytes) + " bytes");
    }
    all.push_back(labelTokens(label, model));
    if (all.back().empty()) refuse("a label has no tokens");
    if (std::find(all.begin(), all.end() - 1, all.back()) != all.end() - 1) refuse("two labels are the same tokens");
  }
  return LabelScorer(all);
}

SequenceRequest requestOf(const Prompt& prompt, const std::vector<AdapterUse>& lora) {
  SequenceRequest request;
  request.prompt = prompt;
  request.lora = lora;
  request.temperature = 0;
  return request;
}

// The stops of a request, then those of its chat.
std::vector<std::string> allStops(const SequenceRequest& request, const ChatSyntax* syntax) {
  std::vector<std::string> stops = checkStops(request.stop);
  if (syntax != nullptr) stops.insert(stops.end(), syntax->stops.begin(), syntax->stops.end());
  return stops;
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

// The request of one choice, with a seed of its own.
SequenceRequest choiceOf(const SequenceRequest& request, uint32_t index) {
  SequenceRequest choice = request;
  if (choice.seed && index > 0) choice.seed = std::fmod(*choice.seed + index, 4294967296.0);
  return choice;
}

}  // namespace

std::shared_ptr<Sequence> makeChoices(uint32_t firstId, uint32_t choices, const SequenceRequest& request,
                                      const Model& model, uint32_t tokensPerSlot) {
  const Model::Prepared prepared = model.prepare(request.prompt);
  const auto make = [&](uint32_t index) {
    return std::make_shared<Sequence>(firstId + index, choiceOf(request, index), model, tokensPerSlot, prepared);
  };
  std::shared_ptr<Sequence> first = make(0);
  for (uint32_t i = 1; i < choices; ++i) first->siblings.push_back(make(i));
  return first;
}

Sequence::Sequence(uint32_t id, const SequenceRequest& request, const Model& model, uint32_t tokensPerSlot)
    : Sequence(id, request, model, tokensPerSlot, model.prepare(request.prompt)) {}

Sequence::Sequence(uint32_t id, const SequenceRequest& request, const Model& model, uint32_t tokensPerSlot,
                   Model::Prepared prepared)
    : Work(id),
      prompt_(checkPrompt(std::move(prepared.tokens), tokensPerSlot)),
      syntax_(std::move(prepared.chat)),
      adapters_(model.adapters().resolve(request.lora)),
      priority_(checkPriority(request.priority)),
      ignoreEos_(request.ignoreEos),
      cachesPrompt_(request.cachePrompt),
      stops_(checkStops(request.stop)),
      logprobs_(wholeNumber(request.logprobs, "logprobs", 0, kMaxLogprobs)),
      sampler_(model.raw(), resolveSampling(request, model.vocabSize()), constraintOf(request, model, syntax_.get()),
               prompt_),
      text_(allStops(request, syntax_.get())) {
  const uint32_t room = tokensPerSlot - promptTokens();
  const std::optional<uint32_t> wanted = wholeNumber(request.maxTokens, "maxTokens", 1, tokensPerSlot);
  maxTokens_ = std::min(room, wanted.value_or(room));
  if (!syntax_) return;
  chat_.emplace(syntax_);
  for (const std::string& token : syntax_->preservedTokens) {
    const std::vector<llama_token> ids = model.tokenizeText(token, false, true);
    if (ids.size() == 1) preserved_.push_back(ids.front());
  }
}

Sequence::Sequence(uint32_t id, const Prompt& prompt, const std::vector<std::string>& labels,
                   const std::vector<AdapterUse>& lora, const Model& model, uint32_t tokensPerSlot)
    : Sequence(id, requestOf(prompt, lora), model, tokensPerSlot) {
  scorer_ = scorerOf(labels, model);
  if (promptTokens() + scorer_->deepest() <= tokensPerSlot) return;
  throw Failure(codes::kContextLengthExceeded, "the prompt leaves no room for the labels", "prompt",
                {{"promptTokens", static_cast<double>(promptTokens())},
                 {"contextTokensPerSlot", static_cast<double>(tokensPerSlot)}});
}

void Sequence::follow(const Sequence& leader) {
  doneTokens = leader.promptTokens();
  group = leader.group;
  startedAt_ = leader.startedAt_;
  follows_ = true;
}

std::vector<llama_token> Sequence::beginning(uint32_t count) const {
  const uint32_t ofPrompt = std::min(count, promptTokens());
  std::vector<llama_token> tokens(prompt_.begin(), prompt_.begin() + ofPrompt);
  tokens.insert(tokens.end(), answer_.begin(), answer_.begin() + (count - ofPrompt));
  return tokens;
}

SlotView Sequence::view() const {
  SlotView view;
  view.slot = static_cast<uint32_t>(slot);
  view.doneTokens = doneTokens;
  view.totalTokens = promptTokens();
  view.waitedSteps = waitedSteps;
  view.arrival = id;
  view.priority = priority_;
  view.budgetTokens = maxTokens_ - generatedTokens;
  return view;
}

Claim Sequence::claim() const {
  Claim claim;
  claim.priority = priority_;
  claim.arrival = id;
  claim.waitedSteps = waitedSteps;
  claim.cells = promptTokens() + generatedTokens;
  claim.growth = maxTokens_ - generatedTokens;
  claim.group = group;
  claim.sharedCells = sharedCells;
  return claim;
}

llama_pos Sequence::positionAt(uint32_t index) const {
  const uint32_t at = generating() ? promptTokens() + generatedTokens - 1 : index;
  return static_cast<llama_pos>(at);
}

std::string Sequence::pieceOf(llama_token token, const Model& model) const {
  const bool isPreserved = std::find(preserved_.begin(), preserved_.end(), token) != preserved_.end();
  return isPreserved ? model.specialPiece(token) : model.piece(token);
}

// Puts `text`, and everything held back when this is the end, where it belongs.
void Sequence::show(Outcome& outcome, std::string text) {
  if (!chat_) {
    outcome.text = std::move(text);
    return;
  }
  AnswerParts parts = chat_->push(text);
  if (outcome.finish) {
    AnswerParts rest = chat_->finish();
    parts.text += rest.text;
    parts.reasoning += rest.reasoning;
    parts.toolCalls.insert(parts.toolCalls.end(), rest.toolCalls.begin(), rest.toolCalls.end());
    const bool isWhole = *outcome.finish == FinishReason::Stop && !outcome.stopString;
    if (isWhole && chat_->calledTools()) outcome.finish = FinishReason::ToolCalls;
  }
  outcome.text = std::move(parts.text);
  if (parts.reasoning.empty() && parts.toolCalls.empty()) return;
  outcome.parts = PartsRow{0, std::move(parts.reasoning), std::move(parts.toolCalls)};
}

Sequence::Pick Sequence::score(const float* logits, const Model& model) {
  Pick pick;
  if (way_.empty()) {
    const std::optional<LabelScorer::Step> step = scorer_->take(logits, static_cast<int32_t>(model.vocabSize()));
    if (!step) {
      pick.finish = FinishReason::Stop;
      return pick;
    }
    pick.keepsState = generatedTokens == 0 && scorer_->goesBack() && !model.canRewind();
    // The cache holds the prompt and `generatedTokens` behind it.
    const bool goesBack = generatedTokens >= step->depth;
    pick.returns = goesBack && !model.canRewind();
    generatedTokens = pick.returns ? 0 : step->depth - 1;
    if (goesBack && !pick.returns) pick.rewindTo = static_cast<llama_pos>(promptTokens() + generatedTokens);
    way_.assign(step->way.rbegin(), step->way.rend() - generatedTokens);
  }
  newest = way_.back();
  way_.pop_back();
  ++generatedTokens;
  return pick;
}

JobRow Sequence::jobRow(const FinishedRow& end) const {
  JobRow row;
  row.job = id;
  row.width = 1;
  if (end.reason == FinishReason::Stop) {
    row.values = scorer_->scores();
  } else {
    row.error = end.error.value_or(Error{codes::kCancelled, "the job was cancelled", {}, {}});
  }
  return row;
}

Sequence::Pick Sequence::draw(const float* logits, const Model& model) {
  Pick pick;
  newest = sampler_.pick(logits);
  pick.token = newest;
  pick.index = generatedTokens;
  // No token at all: a grammar is at its end.
  if (newest == LLAMA_TOKEN_NULL || (!ignoreEos_ && llama_vocab_is_eog(model.vocab(), newest))) {
    pick.finish = FinishReason::Stop;
    return pick;
  }
  pick.countsAsToken = true;
  ++generatedTokens;
  answer_.push_back(newest);
  if (logprobs_) pick.logprobs = logprobsOf(logits, newest, *logprobs_, model);
  if (generatedTokens >= maxTokens_) pick.finish = FinishReason::Length;
  return pick;
}

Sequence::Pick Sequence::pick(const float* logits, const Model& model) {
  const Clock::time_point begin = Clock::now();
  Pick pick = scorer_ ? score(logits, model) : draw(logits, model);
  const Clock::time_point end = Clock::now();
  if (!firstTokenAt_) firstTokenAt_ = end;
  // Where a grammar refuses tokens now and then, those count.
  pickUs_ = std::max(1000 * millisecondsBetween(begin, end), kPickMemory * pickUs_);
  return pick;
}

Sequence::Outcome Sequence::tell(const Pick& pick, const Model& model) {
  Outcome outcome;
  outcome.finish = pick.finish;
  if (scorer_) return outcome;
  std::string text;
  if (pick.countsAsToken) {
    TextStream::Out shown = text_.push(pieceOf(pick.token, model));
    text = std::move(shown.text);
    if (shown.stop) {
      outcome.finish = FinishReason::Stop;
      if (*shown.stop < stops_.size()) outcome.stopString = stops_[*shown.stop];
    } else if (outcome.finish) {
      text += text_.flush();
    }
  } else {
    text = text_.flush();
  }
  show(outcome, std::move(text));
  return outcome;
}

FinishedRow Sequence::finishedRow(FinishReason reason) const {
  const Clock::time_point now = Clock::now();
  FinishedRow row;
  row.reason = reason;
  row.promptTokens = follows_ ? 0 : promptTokens();
  row.cachedTokens = cachedTokens;
  row.completionTokens = generatedTokens;
  row.queueMs = millisecondsBetween(submittedAt_, startedAt_.value_or(now));
  if (startedAt_) row.prefillMs = millisecondsBetween(*startedAt_, firstTokenAt_.value_or(now));
  if (firstTokenAt_) row.decodeMs = millisecondsBetween(*firstTokenAt_, now);
  return row;
}

}  // namespace llamaestro
