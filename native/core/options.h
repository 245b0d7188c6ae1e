// What callers hand in: load options, prompts, requests. Plain data in the spelling and units of src/engine/engine.ts.
// Numbers arrive as JavaScript has them (double, absent = default); the core checks integers and ranges, so the binding
// copies without judging. Knows nothing of llama.cpp.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace llamaestro {

// Absent means the default of engine.ts.
using Number = std::optional<double>;

// Tensors whose name matches `pattern` lie on `device`.
struct TensorOverride {
  std::string pattern;
  std::string device;
};

// A LoRA adapter that a model is loaded with.
struct AdapterOption {
  std::string name;  // what requests call it
  std::string file;
};

// LoadOptions of engine.ts. Strings are UTF-8; an empty string means absent.
struct LoadOptions {
  std::string file;
  std::string purpose = "generate";  // generate | embed | rerank | vocab
  Number contextTokens;              // over all slots, 1 ... 2^24
  Number slots;                      // 1 ... 256
  Number contextTokensPerSlot;       // 1 ... 2^24
  Number gpuLayers;                  // 0 ... 1024; absent = 'auto'
  std::string kvTypeK;               // f32 f16 bf16 q8_0 q4_0 q4_1 q5_0 q5_1
  std::string kvTypeV;
  std::string flashAttention;  // auto | on | off
  std::string kvLayout;        // split | unified
  Number threads;              // 1 ... 512
  Number chunkTokens;          // 16 ... 4096
  Number measuredChunkTokens;  // 16 ... 4096
  Number prefixCacheBytes;     // 0 (off) ... 2^40
  bool reuseGenerated = true;  // keep answers in the prefix cache
  bool mmap = false;
  std::string stepLock;  // path of the shared lock file
  std::string pooling;   // of purpose embed: mean | cls | last; empty: as the file says
  bool warmUp = false;   // one empty run before the load is over
  std::optional<std::vector<std::string>> devices;
  std::string mainDevice;
  std::string splitMode;  // none | layer | row
  std::vector<double> tensorSplit;
  Number cpuMoeLayers;  // 0 ... 512
  std::vector<TensorOverride> tensorOverrides;
  // For the core's own tests: text is made after the next step, or not; absent: where a device works by itself.
  std::optional<bool> tellsLate;
  std::vector<AdapterOption> adapters;
};

// A call that an assistant message made.
struct ToolCall {
  std::string id;
  std::string name;
  std::string arguments;  // JSON text of an object
};

struct ChatMessage {
  ChatMessage() = default;
  ChatMessage(std::string itsRole, std::string itsContent) : role(std::move(itsRole)), content(std::move(itsContent)) {}

  std::string role;
  std::string content;
  std::string reasoning;            // of an assistant
  std::string name;                 // of the tool, in a tool message
  std::string toolCallId;           // which call a tool message answers
  std::vector<ToolCall> toolCalls;  // of an assistant
};

struct Tool {
  std::string name;
  std::string description;
  std::string parameters;  // JSON text of a schema; empty: no parameters
};

// What a messages prompt says beside its messages.
struct ChatOptions {
  std::vector<Tool> tools;
  std::string toolChoice;  // auto | none | required; empty: auto
  std::string toolName;    // the one tool that must be called; empty: none in particular
  std::optional<bool> parallelToolCalls;
  std::vector<std::pair<std::string, std::string>> templateArguments;  // name, JSON text
  std::optional<bool> thinking;
  Number reasoningBudget;
  bool separatesReasoning = false;

  // True when the answer must be taken apart into text, reasoning and tool calls.
  bool asksForParts() const {
    return !tools.empty() || thinking.has_value() || reasoningBudget.has_value() || separatesReasoning;
  }
};

// A LoRA adapter that a request uses.
struct AdapterUse {
  std::string name;
  Number scale;  // -kMaxAdapterScale ... kMaxAdapterScale; absent: 1
};

using AdapterUses = std::vector<AdapterUse>;

// How vectors are handed out, and what computes them.
struct EmbedOptions {
  bool normalises = true;  // to length 1, after the cut
  Number dimensions;       // the first so many; absent: all
  std::vector<AdapterUse> lora;
};

// Prompt of engine.ts: exactly the member that `kind` names is used.
struct Prompt {
  enum class Kind : uint8_t { Text, Messages, Tokens };
  Kind kind = Kind::Text;
  std::string text;
  std::vector<ChatMessage> messages;
  ChatOptions chat;            // of messages
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
  Number priority;                // -10 ... 10
  Number choices;                 // 1 ... kMaxChoices
  std::vector<AdapterUse> lora;
};

inline constexpr uint32_t kMaxWaitingSequences = 1024;
inline constexpr uint32_t kMaxSlots = 256;
inline constexpr int32_t kMaxPriority = 10;  // and as far below 0
inline constexpr uint32_t kMaxChoices = 16;
inline constexpr uint32_t kMaxAdapters = 16;  // of one engine
inline constexpr uint32_t kMaxAdaptersPerRequest = 4;
inline constexpr uint32_t kMaxAdapterNameBytes = 64;
inline constexpr double kMaxAdapterScale = 100;
inline constexpr uint32_t kMaxStopStrings = 16;
inline constexpr uint32_t kMaxStopBytes = 256;
inline constexpr uint32_t kMaxLogitBiases = 1024;
inline constexpr uint32_t kMaxLogprobs = 20;
inline constexpr uint32_t kMaxSequenceBreakers = 16;
inline constexpr uint32_t kMaxSequenceBreakerBytes = 40;  // longer ones are cut by llama.cpp
inline constexpr uint32_t kMaxPenaltyTokens = 65536;
inline constexpr uint32_t kMaxGrammarBytes = 64 << 10;
inline constexpr uint32_t kMaxGrammarDepth = 64;
inline constexpr uint32_t kMaxLabels = 64;  // of one classify
inline constexpr uint32_t kMaxLabelBytes = 256;
inline constexpr uint32_t kMaxTools = 128;
inline constexpr uint32_t kMaxToolNameBytes = 64;
inline constexpr uint32_t kMaxToolBytes = 64 << 10;    // description and parameters of one tool
inline constexpr uint32_t kMaxToolsBytes = 512 << 10;  // of all tools
inline constexpr uint32_t kMaxToolDepth = 64;          // objects and arrays in one another in the parameters
inline constexpr uint32_t kMaxToolCalls = 128;         // of one message
inline constexpr uint32_t kMaxTemplateArguments = 64;
inline constexpr uint32_t kMaxTemplateArgumentBytes = 16 << 10;

}  // namespace llamaestro
