#include "constraint.h"

#include <cctype>

#include "common.h"
#include "error.h"

namespace llamaestro {
namespace {

// Tokens of what the template put before the answer. Some tokenizers put a space in front of it, which is not there.
std::vector<llama_token> tokensBefore(const llama_vocab* vocab, const std::string& text) {
  if (text.empty()) return {};
  std::vector<llama_token> tokens = common_tokenize(vocab, text, false, true);
  const auto isSpace = [](char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; };
  const std::string first = tokens.empty() ? std::string() : common_token_to_piece(vocab, tokens.front(), true);
  if (!first.empty() && isSpace(first[0]) && !isSpace(text[0])) tokens.erase(tokens.begin());
  return tokens;
}

}  // namespace

Constraint::Constraint(const llama_vocab* vocab, const ChatSyntax& syntax, std::optional<Grammar> asked)
    : grammar_(std::move(asked)), vocab_(vocab) {
  const std::vector<llama_token> before = tokensBefore(vocab, syntax.generationPrompt);
  const bool hasTags = !syntax.thinkingStart.empty() && !syntax.thinkingEnds.empty();
  if (hasTags && (syntax.reasoningBudget || syntax.isLazy || grammar_)) thinking_.emplace(vocab, syntax, before);
  if (grammar_) {
    holds_ = !(thinking_ && thinking_->isUnderWay());
  } else if (!syntax.grammar.empty()) {
    begin(vocab, syntax, before);
  }
}

void Constraint::begin(const llama_vocab* vocab, const ChatSyntax& syntax, const std::vector<llama_token>& before) {
  grammar_.emplace(vocab, syntax.grammar, "tools", true);
  if (syntax.isLazy) {
    holds_ = false;
    start_.emplace(syntax.triggers);
  } else {
    // It describes the answer from where the template began it.
    for (const llama_token token : before) grammar_->accept(token);
  }
}

llama_token Constraint::forced() const {
  const llama_token token = thinking_ ? thinking_->forced() : LLAMA_TOKEN_NULL;
  return token != LLAMA_TOKEN_NULL && binds() && !grammar_->allows(token) ? LLAMA_TOKEN_NULL : token;
}

void Constraint::watch(llama_token token) {
  const std::vector<TextToken> tokens = start_->push(token, common_token_to_piece(vocab_, token, true));
  if (tokens.empty()) return;
  holds_ = true;
  for (const TextToken& one : tokens) grammar_->acceptPart(one.id, one.bytes);
}

void Constraint::accept(llama_token token) {
  const bool wasThinking = thinking_ && thinking_->isUnderWay();
  const std::vector<llama_token> ended = thinking_ ? thinking_->accept(token) : std::vector<llama_token>();
  if (!grammar_) return;
  if (holds_) return grammar_->accept(token);
  if (!start_) {
    holds_ = wasThinking && !thinking_->isUnderWay();
    return;
  }
  if (!wasThinking) return watch(token);
  // What is only thought of is no call; the end of the thought may begin one.
  for (const llama_token one : ended) {
    if (!holds_) watch(one);
  }
}

}  // namespace llamaestro
