// Internal and pure: what has to be known of the tokens of a vocabulary before llama.cpp reads them, gathered while
// they pass by: whether one occurs twice, and whether a tokenizer that walks byte by byte can always take a step.
#pragma once

#include <bitset>
#include <cstdint>
#include <string>
#include <vector>

namespace llamaestro {

class VocabularyScan {
 public:
  void add(const std::string& token);

  // True when two tokens that are not empty are equal.
  bool repeats();

  // llama.cpp's tokenizer "rwkv" never comes to an end at a byte that begins tokens and is none itself.
  bool hasEndlessByte() const { return (firstBytes_ & ~ownBytes_).any(); }

 private:
  std::vector<uint64_t> hashes_;
  std::bitset<256> firstBytes_;  // of tokens as "rwkv" writes them, with escapes
  std::bitset<256> ownBytes_;    // tokens of one byte
};

}  // namespace llamaestro
