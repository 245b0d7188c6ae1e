#include "prefix-match.h"

#include <algorithm>
#include <cstddef>

namespace llamaestro {

PrefixGrid prefixGrid(uint32_t chunkTokens, bool allOnCpu) {
  const bool canCut = allOnCpu && chunkTokens % kTiledRows == 0;
  return {chunkTokens, canCut ? kTiledRows : chunkTokens};
}

uint32_t usablePrefix(const PrefixGrid& grid, uint32_t known, uint32_t total) {
  if (total == 0) return 0;
  uint32_t at = std::min(known, total - 1) / grid.blockTokens * grid.blockTokens;
  while (at % grid.chunkTokens != 0) {
    const uint32_t end = std::min((at / grid.chunkTokens + 1) * grid.chunkTokens, total);
    if (end - at >= kTiledRows) break;
    at -= grid.blockTokens;
  }
  return at;
}

uint32_t commonPrefix(const std::vector<int32_t>& a, const std::vector<int32_t>& b) {
  const size_t most = std::min(a.size(), b.size());
  return static_cast<uint32_t>(std::mismatch(a.begin(), a.begin() + static_cast<ptrdiff_t>(most), b.begin()).first -
                               a.begin());
}

}  // namespace llamaestro
