// Internal: a piece of a sequence's attention cache in host memory. Plain data.
#pragma once

#include <cstdint>
#include <vector>

namespace llamaestro {

// Positions [firstPosition, firstPosition + tokens) of one sequence. Usable with every context of the same model,
// layout and cache types.
struct KvBlock {
  uint32_t firstPosition = 0;
  uint32_t tokens = 0;
  uint64_t layout = 0;    // KvLayout::hash of the context it came from
  uint64_t checksum = 0;  // over `bytes`; llama.cpp itself accepts flipped bits
  std::vector<uint8_t> bytes;
};

// 64 bits over `bytes`; catches damage, not malice.
uint64_t blockChecksum(const std::vector<uint8_t>& bytes);

}  // namespace llamaestro
