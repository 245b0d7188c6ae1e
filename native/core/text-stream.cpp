#include "text-stream.h"

#include <algorithm>

namespace llamaestro {
namespace {

constexpr const char* kReplacement = "\xEF\xBF\xBD";

// Bytes of the character that starts with `lead` (1 to 4), or 0 when none may start so.
size_t characterBytes(uint8_t lead) {
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return 2;
  if (lead >= 0xE0 && lead <= 0xEF) return 3;
  if (lead >= 0xF0 && lead <= 0xF4) return 4;
  return 0;
}

// True when `byte` may stand at place `index` (1 ... 3) of the character that starts with `lead`: second bytes are
// restricted so that there are no overlong forms, no surrogates and nothing above U+10FFFF.
bool mayFollow(uint8_t lead, size_t index, uint8_t byte) {
  uint8_t low = 0x80;
  uint8_t high = 0xBF;
  if (index == 1) {
    if (lead == 0xE0) low = 0xA0;
    if (lead == 0xED) high = 0x9F;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;
  }
  return byte >= low && byte <= high;
}

}  // namespace

std::string cleanUtf8(std::string_view bytes, std::string* unfinished) {
  std::string clean;
  clean.reserve(bytes.size());
  size_t at = 0;
  while (at < bytes.size()) {
    const auto lead = static_cast<uint8_t>(bytes[at]);
    const size_t length = characterBytes(lead);
    size_t good = length == 0 ? 0 : 1;
    while (good > 0 && good < length && at + good < bytes.size() &&
           mayFollow(lead, good, static_cast<uint8_t>(bytes[at + good]))) {
      ++good;
    }
    if (length > 0 && good == length) {
      clean.append(bytes.substr(at, length));
      at += length;
    } else if (unfinished != nullptr && good > 0 && at + good == bytes.size()) {
      unfinished->assign(bytes.substr(at));
      return clean;
    } else {
      clean += kReplacement;  // one for the longest beginning of a character, as browsers do
      at += std::max<size_t>(good, 1);
    }
  }
  if (unfinished != nullptr) unfinished->clear();
  return clean;
}

TextStream::Out TextStream::push(std::string_view bytes) {
  std::string joined = unfinished_;
  joined.append(bytes);
  held_ += cleanUtf8(joined, &unfinished_);

  Out out;
  size_t first = std::string::npos;
  for (size_t i = 0; i < stops_.size(); ++i) {
    const size_t found = held_.find(stops_[i]);
    if (found < first) {
      first = found;
      out.stop = i;
    }
  }
  const size_t shown = out.stop ? first : held_.size() - heldBack();
  out.text = held_.substr(0, shown);
  held_.erase(0, shown);
  return out;
}

std::string TextStream::flush() {
  std::string rest = std::move(held_);
  if (!unfinished_.empty()) rest += kReplacement;
  held_.clear();
  unfinished_.clear();
  return rest;
}

// Length of the longest end of `held_` that begins a stop string.
size_t TextStream::heldBack() const {
  size_t longest = 0;
  for (const std::string& stop : stops_) {
    for (size_t length = std::min(stop.size() - 1, held_.size()); length > longest; --length) {
      if (held_.compare(held_.size() - length, length, stop, 0, length) == 0) longest = length;
    }
  }
  return longest;
}

}  // namespace llamaestro
