#include "vocabulary-scan.h"

#include <algorithm>

namespace llamaestro {
namespace {

uint8_t hexDigit(char c) { return static_cast<uint8_t>(c >= 'a' ? c - 'a' + 10 : c - '0'); }

// The byte at `at`, which moves behind it; as llama.cpp reads the escapes of "rwkv". False when the text ends inside.
bool readByte(const std::string& text, size_t& at, uint8_t& byte) {
  if (at >= text.size()) return false;
  byte = static_cast<uint8_t>(text[at++]);
  if (byte != '\\') return true;
  if (at >= text.size()) return false;
  const char escape = text[at++];
  if (escape == 'x') {
    if (at + 2 > text.size()) return false;
    byte = static_cast<uint8_t>((hexDigit(text[at]) << 4) + hexDigit(text[at + 1]));
    at += 2;
  } else {
    byte = static_cast<uint8_t>(escape == 't' ? '\t' : escape == 'n' ? '\n' : escape == 'r' ? '\r' : escape);
  }
  return true;
}

}  // namespace

void VocabularyScan::add(const std::string& token) {
  if (token.empty()) return;
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : token) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3u;
  hashes_.push_back(hash);
  size_t at = 0;
  uint8_t first = 0;
  uint8_t second = 0;
  if (!readByte(token, at, first)) return;
  firstBytes_.set(first);
  if (!readByte(token, at, second)) ownBytes_.set(first);
}

bool VocabularyScan::repeats() {
  std::sort(hashes_.begin(), hashes_.end());
  return std::adjacent_find(hashes_.begin(), hashes_.end()) != hashes_.end();
}

}  // namespace llamaestro
