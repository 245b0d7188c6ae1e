// Drives an engine from a test: waits for events on the wake and collects what each sequence said.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine.h"

namespace tests {

// What one sequence has said so far.
struct Heard {
  std::vector<std::string> order;  // started, prefill, tokens, finished
  std::vector<uint32_t> ids;
  std::string text;
  std::vector<llamaestro::LogprobRow> logprobs;
  std::string reasoning;
  std::vector<llamaestro::ToolCallDelta> toolCalls;  // whole ones: the pieces put together
  uint32_t toolPieces = 0;
  uint32_t promptTokens = 0;
  uint32_t cachedTokens = 0;
  uint32_t prefilled = 0;
  bool finished = false;
  llamaestro::FinishedRow end;
};

class Driver {
 public:
  // Throws CheckFailed when the load fails.
  explicit Driver(const llamaestro::LoadOptions& options);
  ~Driver();

  llamaestro::Engine& engine() { return *engine_; }
  // Throws CheckFailed when submit refuses.
  uint32_t submit(const llamaestro::SequenceRequest& request);
  // Waits (a bounded time) until `done` holds for what was heard; drains events meanwhile.
  void waitUntil(const std::function<bool()>& done);
  const Heard& waitFinished(uint32_t id);
  llamaestro::JobRow waitJob(uint32_t id);
  Heard& heard(uint32_t id) { return heard_[id]; }
  // Takes what is there now.
  void drain();

 private:
  std::mutex mutex_;
  std::condition_variable woken_;
  bool awake_ = false;
  std::map<uint32_t, Heard> heard_;
  std::map<uint32_t, llamaestro::JobRow> jobs_;
  std::shared_ptr<llamaestro::Engine> engine_;
};

// With LLAMAESTRO_TEST_LATE_TEXT set, texts are made after the next step, as where a device works by itself.
llamaestro::LoadOptions loadOptions(const std::string& model, const std::string& purpose = "generate");
llamaestro::SequenceRequest textRequest(const std::string& text, double maxTokens);
// Goes on to its last token whatever comes, with log probabilities of `alternatives` others.
llamaestro::SequenceRequest tokensRequest(const std::vector<double>& tokens, double maxTokens, uint32_t alternatives);
// Tokens 5 to 104 in an order that `salt` decides.
std::vector<double> noise(uint32_t count, uint32_t salt);

// Where sequences are computed together, or share one stream of cells, the last digits change: a tie may fall
// otherwise, and what follows it. Throws CheckFailed when `heard` differs from `wanted` by more; both have log
// probabilities with two alternatives.
void checkSame(const Heard& heard, const Heard& wanted, const std::string& what);

// Everything that a sequence has said, its log probabilities to the last bit; or why it failed.
std::string bitsOf(const Heard& heard);

}  // namespace tests
