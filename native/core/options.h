// What callers hand in: load options, prompts, requests. Plain data in the spelling and units of src/engine/engine.ts.
// Numbers arrive as JavaScript has them (double, absent = default); the core checks integers and ranges, so the binding
// copies without judging. Knows nothing of llama.cpp.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace llamaestro {

// Absent means the default of engine.ts.
using Number = std::optional<double>;

// LoadOptions of engine.ts. Strings are UTF-8; an empty string means absent.
struct LoadOptions {
  std::string file;
  std::string purpose = "generate";  // generate | embed | rerank | vocab
  Number contextTokens;              // over all slots, 1 ... 2^24
  Number slots;                      // 1 ... 256
  Number gpuLayers;                  // 0 ... 1024; absent = 'auto'
  std::string kvTypeK;               // f32 f16 bf16 q8_0 q4_0 q4_1 q5_0 q5_1
  std::string kvTypeV;
  std::string flashAttention;  // auto | on | off
  std::string kvLayout;        // split | unified
  Number threads;              // 1 ... 512
  Number chunkTokens;          // 16 ... 4096
  Number prefixCacheBytes;     // 0 (off) ... 2^40
  bool mmap = false;
  std::string stepLock;  // path of the shared lock file
};

struct ChatMessage {
  std::string role;
  std::string content;
};

// Prompt of engine.ts: exactly the member that `kind` names is used.
struct Prompt {
  enum class Kind : uint8_t { Text, Messages, Tokens };
  Kind kind = Kind::Text;
  std::string text;
  std::vector<ChatMessage> messages;
  std::vector<double> tokens;  // as JavaScript has them; checked to be ids of the vocabulary
};

// SequenceRequest of engine.ts.
struct SequenceRequest {
  Prompt prompt;
  Number maxTokens;
  std::vector<std::string> stop;
  bool ignoreEos = false;
  Number temperature;
  Number topK;
  Number topP;
  Number minP;
  Number seed;
  Number typicalP;
  Number repeatPenalty;
  Number repeatLastN;
  Number frequencyPenalty;
  Number presencePenalty;
  Number dryMultiplier;
  Number dryBase;
  Number dryAllowedLength;
  Number dryPenaltyLastN;
  std::optional<std::vector<std::string>> drySequenceBreakers;
  Number xtcProbability;
  Number xtcThreshold;
  Number mirostat;
  Number mirostatTau;
  Number mirostatEta;
  Number dynatempRange;
  Number dynatempExponent;
  std::vector<double> logitBias;  // token id, bias, token id, bias ...
  Number logprobs;                // alternatives per token; absent: no logprobs at all
  std::string grammar;            // GBNF; empty: free
  std::string jsonSchema;         // JSON text; empty: free
  bool cachePrompt = true;        // read and feed the prefix cache
};

inline constexpr uint32_t kMaxWaitingSequences = 1024;
inline constexpr uint32_t kMaxSlots = 256;
inline constexpr uint32_t kMaxStopStrings = 16;
inline constexpr uint32_t kMaxStopBytes = 256;
inline constexpr uint32_t kMaxLogitBiases = 1024;
inline constexpr uint32_t kMaxLogprobs = 20;
inline constexpr uint32_t kMaxSequenceBreakers = 16;
inline constexpr uint32_t kMaxSequenceBreakerBytes = 40;  // longer ones are cut by llama.cpp
inline constexpr uint32_t kMaxPenaltyTokens = 65536;
inline constexpr uint32_t kMaxGrammarBytes = 64 << 10;
inline constexpr uint32_t kMaxGrammarDepth = 64;

}  // namespace llamaestro
