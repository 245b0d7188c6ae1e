#include "chunk-choice.h"

#include <algorithm>

namespace llamaestro {
namespace {

constexpr uint32_t kLeast = 16;
constexpr uint32_t kCloserLook = 64;
// Measuring takes at most this long, or this share of the load.
constexpr double kMeasureMs = 300, kMeasureShare = 0.1;

// The better of two, 0 when neither could be taken.
double fastest(uint32_t tokens, double& budgetMs, const std::function<double(uint32_t)>& timeOf) {
  const double enough = budgetMs;
  double best = 0;
  for (int round = 0; round < 2; ++round) {
    if (round > 0 && best > enough) break;
    const double ms = timeOf(tokens);
    if (ms <= 0) break;
    budgetMs -= ms;
    best = best == 0 ? ms : std::min(best, ms);
  }
  return best;
}

uint32_t largestWithin(double msPerToken, uint32_t most) {
  uint32_t chunk = kLeast;
  while (chunk * 2 <= most && chunk * 2 * msPerToken <= kMaxChunkMs) chunk *= 2;
  return chunk;
}

}  // namespace

double chunkMeasureMs(double loadMs) { return std::max(kMeasureMs, kMeasureShare * loadMs); }

uint32_t chooseChunk(uint32_t most, double budgetMs, const std::function<double(uint32_t)>& timeOf) {
  if (most <= kLeast) return most;
  const double few = fastest(kLeast, budgetMs, timeOf);
  if (few <= 0) return most;
  const uint32_t chunk = largestWithin(few / kLeast, most);
  if (chunk * 2 > most || most < kCloserLook || few * (kCloserLook / kLeast) > budgetMs) return chunk;
  const double many = fastest(kCloserLook, budgetMs, timeOf);
  return many <= 0 ? chunk : std::max(chunk, largestWithin(many / kCloserLook, most));
}

}  // namespace llamaestro
