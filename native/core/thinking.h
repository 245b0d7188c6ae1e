// Internal: where an answer stands in its reasoning, by llama.cpp's own state machine: when it begins, when it ends,
// and what must come next when its budget is spent. Knows no text.
#pragma once

#include <optional>
#include <vector>

#include "chat-syntax.h"
#include "llama-handles.h"

namespace llamaestro {

class Thinking {
 public:
  // `before`: the tokens that the template put before the answer; they may open the reasoning.
  Thinking(const llama_vocab* vocab, const ChatSyntax& syntax, const std::vector<llama_token>& before);
  ~Thinking();
  Thinking(Thinking&&) noexcept;

  bool isUnderWay() const;
  // The only token that may come next, or LLAMA_TOKEN_NULL.
  llama_token forced() const;
  // The tokens of the end tag when `token` is the last of them; they may begin what follows.
  std::vector<llama_token> accept(llama_token token);

 private:
  struct Deleter {
    void operator()(llama_sampler* sampler) const;
  };
  std::unique_ptr<llama_sampler, Deleter> state_;
  std::vector<llama_token> forcedTokens_;
};

}  // namespace llamaestro
