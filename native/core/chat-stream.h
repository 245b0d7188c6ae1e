// Internal: text of an answer in, its parts out: content, reasoning, tool calls, as far as they are certain. Whole
// texts are parsed by llama.cpp's own parser; text that cannot change what came before is passed on without it, so that
// long answers cost no more per token than short ones. Knows no tokens.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "events.h"

struct common_chat_msg;

namespace llamaestro {

struct ChatSyntax;

// What has become certain. A tool call's id and name come once, before its arguments.
struct AnswerParts {
  std::string text;
  std::string reasoning;
  std::vector<ToolCallDelta> toolCalls;

  bool empty() const { return text.empty() && reasoning.empty() && toolCalls.empty(); }
};

class ChatStream {
 public:
  explicit ChatStream(std::shared_ptr<const ChatSyntax> syntax);
  ~ChatStream();

  // `text`: whole UTF-8 characters. Never throws for what a model may write.
  AnswerParts push(std::string_view text);

  // Everything that was held back. Nothing may be pushed after it.
  AnswerParts finish();

  bool calledTools() const { return !calls_.empty(); }

  // Parses of the whole text so far; for tests.
  uint32_t parses() const { return parses_; }

 private:
  // What was handed out of one tool call.
  struct Call {
    bool isNamed = false;
    std::string arguments;
  };
  enum class Open { Nothing, Text, Reasoning };

  bool isDue() const;
  void measureNesting(std::string_view text);
  AnswerParts parse(bool isLast);
  common_chat_msg parsed();
  void reopen(const common_chat_msg& message);
  void giveUp(AnswerParts& parts);
  // False when what was handed out of a call is not what it begins with now.
  bool addCalls(const common_chat_msg& message, bool isLast, AnswerParts& parts);
  // Text that the parser need not see to know what it is.
  AnswerParts passOn(std::string_view text);

  const std::shared_ptr<const ChatSyntax> syntax_;
  std::string all_;         // the whole answer
  size_t parsedBytes_ = 0;  // of it, at the last parse or pass
  Open open_ = Open::Nothing;
  std::string shownText_;
  std::string shownReasoning_;
  std::vector<Call> calls_;
  bool isBroken_ = false;  // not of this syntax: everything more is text
  uint32_t depth_ = 0;
  uint32_t deepest_ = 0;
  uint32_t parses_ = 0;
};

}  // namespace llamaestro
