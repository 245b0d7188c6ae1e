#include "lazy-start.h"

#include <algorithm>

namespace llamaestro {
namespace {

// The longest text that a pattern of llama.cpp's spans, with room; short enough for a regex that recurses per
// character.
constexpr size_t kPatternTailBytes = 256;

}  // namespace

LazyStart::LazyStart(const std::vector<ChatTrigger>& triggers) {
  for (const ChatTrigger& trigger : triggers) {
    if (trigger.text.empty()) continue;
    if (trigger.isPattern) {
      const bool isAnchored = trigger.text.front() == '^';
      patterns_.push_back({std::regex(trigger.text), isAnchored, isAnchored && trigger.text.back() == '$'});
      keptBytes_ = std::max(keptBytes_, kPatternTailBytes);
    } else {
      words_.push_back(trigger.text);
      keptBytes_ = std::max(keptBytes_, trigger.text.size());
    }
  }
}

size_t LazyStart::findWord(size_t newBytes) const {
  size_t first = kNone;
  for (const std::string& word : words_) {
    const size_t unseen = newBytes + word.size() - 1;
    const size_t from = tail_.size() - std::min(tail_.size(), unseen);
    first = std::min(first, tail_.find(word, from));
  }
  return first;
}

// As llama.cpp reads a match: it begins at the first group that holds something.
size_t LazyStart::findPattern() const {
  for (const Pattern& pattern : patterns_) {
    if (pattern.isAnchored && !isWholeAnswer_) continue;
    std::smatch match;
    // "^" of a pattern without a group of alternatives would fit the beginning of the tail, which is not the answer's.
    const auto flags = isWholeAnswer_ ? std::regex_constants::match_default : std::regex_constants::match_not_bol;
    const bool isFound = pattern.isWhole ? std::regex_match(tail_, match, pattern.regex)
                                         : std::regex_search(tail_, match, pattern.regex, flags);
    if (!isFound) continue;
    for (size_t group = 1; group < match.size(); ++group) {
      if (match.length(group) > 0) return static_cast<size_t>(match.position(group));
    }
    return static_cast<size_t>(match.position(0));
  }
  return kNone;
}

std::vector<TextToken> LazyStart::tokensFrom(size_t start) const {
  std::vector<TextToken> tokens;
  size_t at = 0;
  for (const TextToken& token : tokens_) {
    const size_t end = at + token.bytes.size();
    if (end > start) tokens.push_back({token.id, token.bytes.substr(start > at ? start - at : 0)});
    at = end;
  }
  return tokens;
}

void LazyStart::forget() {
  while (!tokens_.empty() && tail_.size() - tokens_.front().bytes.size() >= keptBytes_) {
    tail_.erase(0, tokens_.front().bytes.size());
    tokens_.pop_front();
    isWholeAnswer_ = false;
  }
}

std::vector<TextToken> LazyStart::push(llama_token token, const std::string& bytes) {
  if (bytes.empty()) return {};
  tail_ += bytes;
  tokens_.push_back({token, bytes});
  size_t start = findWord(bytes.size());
  if (start == kNone) start = findPattern();
  std::vector<TextToken> found = start == kNone ? std::vector<TextToken>() : tokensFrom(start);
  forget();
  return found;
}

}  // namespace llamaestro
