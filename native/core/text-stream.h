// Internal: bytes of tokens in, text to show out. Never splits a UTF-8 character, never shows a part of a stop string,
// and turns bytes that are not UTF-8 into U+FFFD. Knows no tokens.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace llamaestro {

class TextStream {
 public:
  // `stops`: non-empty UTF-8 strings.
  explicit TextStream(std::vector<std::string> stops) : stops_(std::move(stops)) {}

  struct Out {
    std::string text;            // may be shown now; whole characters
    std::optional<size_t> stop;  // index of the stop string that ended the text; nothing may follow
  };

  Out push(std::string_view bytes);

  // What was held back, at the end without a stop string. An unfinished character becomes U+FFFD.
  std::string flush();

 private:
  size_t heldBack() const;

  std::vector<std::string> stops_;
  std::string unfinished_;  // bytes of a character under way, at most 3
  std::string held_;        // whole characters that may still become a stop string
};

// `bytes` with everything that is not UTF-8 replaced; when `unfinished` is given, the start of a character at the end
// is moved there instead.
std::string cleanUtf8(std::string_view bytes, std::string* unfinished);

}  // namespace llamaestro
