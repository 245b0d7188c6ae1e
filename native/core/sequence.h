// Internal: one request on its way through the engine: its tokens, where it stands, what it may still generate. The
// decode thread is the only one that changes it after submit; `cancelled` alone is set by others.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "admission.h"
#include "chat-stream.h"
#include "events.h"
#include "label-scorer.h"
#include "model.h"
#include "parking.h"
#include "sampler.h"
#include "scheduler.h"
#include "text-stream.h"
#include "work.h"

namespace llamaestro {

class Sequence : public Work {
 public:
  using Clock = std::chrono::steady_clock;

  // Checks the request against the model and the context. Throws Failure invalid_request, unsupported_schema,
  // context_length_exceeded or model_unusable.
  Sequence(uint32_t id, const SequenceRequest& request, const Model& model, uint32_t tokensPerSlot);
  // The same with a prompt that is prepared already.
  Sequence(uint32_t id, const SequenceRequest& request, const Model& model, uint32_t tokensPerSlot,
           Model::Prepared prepared);

  // One that scores labels instead of saying something: it has no events and ends with a JobRow. Throws as above.
  Sequence(uint32_t id, const Prompt& prompt, const std::vector<std::string>& labels,
           const std::vector<AdapterUse>& lora, const Model& model, uint32_t tokensPerSlot);

  // Where it stands.
  static constexpr int32_t kNoSlot = -1;
  int32_t slot = kNoSlot;
  uint32_t doneTokens = 0;       // prompt tokens in the cache
  uint32_t generatedTokens = 0;  // sampled and shown; the newest one is not in the cache yet
  uint32_t decodedTokens = 0;    // of the generated ones, those in the cache
  uint32_t cachedTokens = 0;     // of doneTokens, those that were not computed for it
  uint32_t offeredTokens = 0;    // of those in the cache, as many as the prefix cache has looked at
  uint32_t waitedSteps = 0;
  llama_token newest = 0;
  std::shared_ptr<const ParkedState> parked;  // waits with this; null when it has computed nothing or has a slot
  uint32_t sharedCells = 0;                   // see Claim; of its group
  uint64_t group = id;
  std::shared_ptr<const ParkedState> afterPrompt;  // of labels whose beginnings fork, where a cache cannot be cut

  // The other choices of one request. They wait here until the prompt is computed, and are on their own from then on.
  std::vector<std::shared_ptr<Sequence>> siblings;
  // Takes the computed prompt over: this one has not to compute it, and does not count it.
  void follow(const Sequence& leader);

  // While it has no slot: the sequence whose prefill it waits for, 0 for none, and up to where.
  uint32_t leaderId = 0;
  uint32_t leaderTokens = 0;

  bool cachesPrompt() const { return cachesPrompt_; }
  // Sequences with different ones are never computed in one call, and share no cache.
  const AdapterSet& adapters() const { return adapters_; }
  uint64_t space() const { return adapters_.space; }
  uint32_t promptTokens() const { return static_cast<uint32_t>(prompt_.size()); }
  const std::vector<llama_token>& prompt() const { return prompt_; }
  // How many tokens of it are in the cache of its slot.
  uint32_t heldTokens() const { return doneTokens + decodedTokens; }
  // The first `count` of prompt and answer.
  std::vector<llama_token> beginning(uint32_t count) const;
  bool generating() const { return doneTokens == promptTokens(); }
  SlotView view() const;
  Claim claim() const;
  int32_t priority() const { return priority_; }
  // Token and position of place `index` of a planned row (prompt places, or the newest token when generating).
  llama_token tokenAt(uint32_t index) const { return generating() ? newest : prompt_[index]; }
  llama_pos positionAt(uint32_t index) const;

  // The next token, with everything that is known without its text.
  struct Pick {
    llama_token token = 0;
    bool countsAsToken = false;          // false for the end-of-generation token
    uint32_t index = 0;                  // tokens of the answer before it
    std::optional<LogprobRow> logprobs;  // when asked for; row is not set
    std::optional<FinishReason> finish;  // nothing comes after it; its text may name another reason
    std::optional<llama_pos> rewindTo;   // what the cache holds from here on must go
    bool keepsState = false;             // the state of the cache is needed again: put it into afterPrompt
    bool returns = false;                // the cache must hold that state again
  };
  // Chooses from `logits` and advances. Different sequences may do so at a time. Throws Failure (see Sampler::pick).
  Pick pick(const float* logits, const Model& model);
  // What the next one is expected to take, from those before.
  double pickUs() const { return pickUs_; }

  // What a pick adds to the answer.
  struct Outcome {
    std::string text;               // to show now
    std::optional<PartsRow> parts;  // what is not text; row is not set
    std::optional<FinishReason> finish;
    std::optional<std::string> stopString;
  };
  // Each pick once, in their order.
  Outcome tell(const Pick& pick, const Model& model);

  bool hasEnded = false;  // its last event is out

  // For good: what comes back after it was put aside has started before.
  void markStarted() {
    if (!startedAt_) startedAt_ = Clock::now();
  }
  bool hasStarted() const { return startedAt_.has_value(); }
  // The row of its Finished event.
  FinishedRow finishedRow(FinishReason reason) const;

  // True when it scores labels.
  bool isJob() const { return scorer_.has_value(); }
  // What it ends with then.
  JobRow jobRow(const FinishedRow& end) const;

 private:
  Pick score(const float* logits, const Model& model);
  Pick draw(const float* logits, const Model& model);
  void show(Outcome& outcome, std::string text);
  std::string pieceOf(llama_token token, const Model& model) const;

  std::vector<llama_token> prompt_;
  std::vector<llama_token> answer_;
  std::shared_ptr<const ChatSyntax> syntax_;  // null: the answer is plain text
  AdapterSet adapters_;
  int32_t priority_ = 0;
  bool follows_ = false;
  uint32_t maxTokens_ = 0;
  bool ignoreEos_ = false;
  bool cachesPrompt_ = true;
  std::vector<std::string> stops_;
  std::optional<uint32_t> logprobs_;
  Sampler sampler_;
  TextStream text_;
  std::optional<ChatStream> chat_;
  std::optional<LabelScorer> scorer_;
  std::vector<llama_token> way_;        // to what is looked at next, the first token last
  std::vector<llama_token> preserved_;  // shown although they are special
  Clock::time_point submittedAt_ = Clock::now();
  std::optional<Clock::time_point> startedAt_;
  std::optional<Clock::time_point> firstTokenAt_;
  double pickUs_ = 0;
};

// A sequence for each choice, with ids in a row; the first one holds the others as siblings.
std::shared_ptr<Sequence> makeChoices(uint32_t firstId, uint32_t choices, const SequenceRequest& request,
                                      const Model& model, uint32_t tokensPerSlot);

}  // namespace llamaestro
