// Internal: what rules the next token of an answer beside its probability: a grammar, from the first token on or from
// the place where it begins to hold, and the end of a reasoning whose budget is spent. Knows no logits' meaning.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "grammar.h"
#include "lazy-start.h"
#include "thinking.h"

namespace llamaestro {

class Constraint {
 public:
  // A grammar that holds from the first token on, or none.
  Constraint(std::optional<Grammar> grammar = std::nullopt) : grammar_(std::move(grammar)) {}
  // The rules of a chat. `asked`: the grammar of the request; it holds once the reasoning that the template opened is
  // over. Throws Failure invalid_request (tools).
  Constraint(const llama_vocab* vocab, const ChatSyntax& syntax, std::optional<Grammar> asked);

  // The only token that may come next, or LLAMA_TOKEN_NULL.
  llama_token forced() const;
  // True when a grammar judges the next token: then the calls of `grammar` are due.
  bool binds() const { return grammar_ && holds_; }
  const Grammar& grammar() const { return *grammar_; }

  // Goes on by one token that may come. Throws Failure as Grammar.
  void accept(llama_token token);

 private:
  void begin(const llama_vocab* vocab, const ChatSyntax& syntax, const std::vector<llama_token>& before);
  void watch(llama_token token);

  std::optional<Grammar> grammar_;
  bool holds_ = true;
  std::optional<LazyStart> start_;
  std::optional<Thinking> thinking_;
  const llama_vocab* vocab_ = nullptr;
};

}  // namespace llamaestro
