// Internal and pure: how much of a known prefix a prompt may take over so that what is computed behind it has the same
// bits as without it.
#pragma once

#include <cstdint>
#include <vector>

namespace llamaestro {

// A prompt is computed in chunks that end at multiples of chunkTokens. Blocks of a divisor of it are kept.
struct PrefixGrid {
  uint32_t chunkTokens = 256;
  uint32_t blockTokens = 256;
};

// Rows of one sequence from which on the CPU's attention works in tiles: results differ in the last bits between calls
// below and above it, and within each class depend on nothing but the row (measured for all block sizes; on other
// backends kernels are chosen by more than that, and blocks are whole chunks).
inline constexpr uint32_t kTiledRows = 64;

// The finest grid that keeps the bits.
PrefixGrid prefixGrid(uint32_t chunkTokens, bool allOnCpu);

// Tokens of a prompt of `total` that may come from a prefix of `known`: a multiple of the block, at least one token is
// left to compute, and a chunk that is cut leaves rows of the same class as the whole one had.
uint32_t usablePrefix(const PrefixGrid& grid, uint32_t known, uint32_t total);

// Tokens that both begin with.
uint32_t commonPrefix(const std::vector<int32_t>& a, const std::vector<int32_t>& b);

}  // namespace llamaestro
