// Internal: watches the text of an answer for the place where a lazy grammar begins to hold. Words are looked for in
// the new end of the text only; patterns (llama.cpp's own, for a few templates) in a tail of fixed length. Knows no
// grammar.
#pragma once

#include <cstdint>
#include <deque>
#include <regex>
#include <string>
#include <vector>

#include "chat-syntax.h"
#include "llama.h"

namespace llamaestro {

// A token of the answer and the bytes of it that count.
struct TextToken {
  llama_token id = 0;
  std::string bytes;
};

class LazyStart {
 public:
  // Throws std::regex_error for a bad pattern.
  explicit LazyStart(const std::vector<ChatTrigger>& triggers);

  // The tokens from the trigger's first byte on, once it is complete; empty before.
  std::vector<TextToken> push(llama_token token, const std::string& bytes);

 private:
  static constexpr size_t kNone = static_cast<size_t>(-1);
  struct Pattern {
    std::regex regex;
    bool isAnchored = false;  // it means the beginning of the answer
    bool isWhole = false;
  };

  size_t findWord(size_t newBytes) const;
  size_t findPattern() const;
  std::vector<TextToken> tokensFrom(size_t start) const;
  void forget();

  std::vector<std::string> words_;
  std::vector<Pattern> patterns_;
  size_t keptBytes_ = 0;  // of the tail, at least
  std::string tail_;
  std::deque<TextToken> tokens_;  // of the tail
  bool isWholeAnswer_ = true;     // nothing was forgotten yet
};

}  // namespace llamaestro
