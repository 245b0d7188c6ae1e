// Internal: how the answers to one messages prompt are written: what `common` derived from the template for these tools
// and options. Immutable, shared by the sequence's parser and sampler. Knows no vocabulary.
#pragma once

#include <string>
#include <vector>

#include "chat.h"

namespace llamaestro {

// Where a lazy grammar begins to hold.
struct ChatTrigger {
  std::string text;
  bool isPattern = false;  // a regular expression of llama.cpp's own, never of a request
};

struct ChatSyntax {
  common_chat_parser_params parser;
  // The beginnings of everything that the parser looks for: a text without these bytes changes nothing in what the
  // text before it was taken for.
  std::string structuralBytes;
  std::string grammar;  // of tool calls; empty: free
  bool isLazy = false;  // the grammar holds from a trigger on
  std::vector<ChatTrigger> triggers;
  std::string generationPrompt;  // what the template puts before the answer
  std::string thinkingStart;     // empty: the template has no reasoning
  std::vector<std::string> thinkingEnds;
  std::vector<std::string> preservedTokens;  // shown although they are special
  std::vector<std::string> stops;
  std::optional<uint32_t> reasoningBudget;
};

}  // namespace llamaestro
