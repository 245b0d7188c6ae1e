// What an engine tells its owner, as flat vectors: all events of the decode steps since the last drain. One row is one
// SequenceEvent of src/engine/engine.ts, in order of happening; per sequence the order of engine.ts holds.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "error.h"

namespace llamaestro {

enum class EventKind : uint8_t {
  Started = 0,   // a = promptTokens, b = cachedTokens
  Prefill = 1,   // a = doneTokens, b = totalTokens
  Tokens = 2,    // a = firstIndex; ids and text in the slabs
  Finished = 3,  // a = index into EventBatch::finished
};

enum class FinishReason : uint8_t { Stop = 0, Length = 1, Cancelled = 2, Error = 3, ToolCalls = 4 };

struct FinishedRow {
  FinishReason reason = FinishReason::Stop;
  std::optional<std::string> stopString;  // the one that matched
  uint32_t promptTokens = 0;
  uint32_t cachedTokens = 0;
  uint32_t completionTokens = 0;
  double queueMs = 0;
  double prefillMs = 0;
  double decodeMs = 0;
  std::optional<Error> error;  // present exactly when reason is Error
};

// Outcome of one embed or rerank job. `values` is row after row of `width` floats (embedding length, or 1 for scores).
struct JobRow {
  uint32_t job = 0;  // what Engine::embed or Engine::rerank returned
  uint32_t width = 0;
  std::vector<float> values;
  std::optional<Error> error;  // `cancelled` after Engine::cancel or close
};

// What the model thought of one generated token and of its best alternatives; bytes as the vocabulary has them, which
// may be a part of a character.
struct TokenChance {
  uint32_t id = 0;
  float logprob = 0;  // natural logarithm of the probability before any sampler, at most 0
  std::string bytes;
};
struct LogprobRow {
  uint32_t row = 0;  // the row of the batch whose next token this is
  TokenChance token;
  std::vector<TokenChance> top;  // best first
};

// A piece of a tool call. Id and name come once, with the first piece.
struct ToolCallDelta {
  uint32_t index = 0;
  std::string id;
  std::string name;
  std::string arguments;
};
// What the tokens of a row of kind Tokens mean beside text.
struct PartsRow {
  uint32_t row = 0;
  std::string reasoning;
  std::vector<ToolCallDelta> toolCalls;
};

// Row i: sequence[i], kind[i], a[i], b[i]; its ids are tokenSlab[tokenEnd[i-1] .. tokenEnd[i]), its text
// textSlab[textEnd[i-1] .. textEnd[i]) (with -1 meaning 0). Text is whole UTF-8 characters; textEnd counts bytes.
struct EventBatch {
  std::vector<uint32_t> sequence;
  std::vector<uint8_t> kind;
  std::vector<uint32_t> a;
  std::vector<uint32_t> b;
  std::vector<uint32_t> tokenEnd;
  std::vector<uint32_t> textEnd;
  std::vector<uint32_t> tokenSlab;
  std::string textSlab;
  std::vector<FinishedRow> finished;
  std::vector<JobRow> jobs;
  std::vector<LogprobRow> logprobs;  // by row; of the sequences that asked for them
  std::vector<PartsRow> parts;       // by row; of answers that are taken apart, where there is more than text

  bool empty() const { return sequence.empty() && jobs.empty(); }
};

}  // namespace llamaestro
