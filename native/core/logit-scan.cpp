#include "logit-scan.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace llamaestro {
namespace {

constexpr int32_t kScanBlock = 128;
constexpr int32_t kLanes = 4;
constexpr int32_t kRegisters = 4;
constexpr int32_t kStride = kLanes * kRegisters;
using Lanes __attribute__((vector_size(kLanes * sizeof(float)))) = float;

bool isBetter(const llama_token_data& a, const llama_token_data& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
}

float larger(float a, float b) { return a > b ? a : b; }

// The largest number of the block, -INFINITY when it has none. One running maximum would wait for itself at every
// step, and compilers may not regroup it: four registers of four lanes each do not wait for one another.
float blockMaximum(const float* logits, int32_t count) {
  Lanes best[kRegisters];
  for (Lanes& one : best) one = Lanes{} - INFINITY;
  int32_t i = 0;
  for (; i + kStride <= count; i += kStride) {
    for (int32_t r = 0; r < kRegisters; ++r) {
      Lanes next;
      std::memcpy(&next, logits + i + r * kLanes, sizeof(next));
      best[r] = next > best[r] ? next : best[r];
    }
  }
  float all = -INFINITY;
  for (; i < count; ++i) all = larger(logits[i], all);
  for (const Lanes& one : best) {
    for (int32_t lane = 0; lane < kLanes; ++lane) all = larger(one[lane], all);
  }
  return all;
}

}  // namespace

// Blocks whose maximum does not reach the worst kept one are skipped whole.
void selectTop(const float* logits, int32_t vocabSize, int32_t k, std::vector<llama_token_data>& kept) {
  kept.clear();
  int32_t next = std::min(k, vocabSize);
  for (llama_token id = 0; id < next; ++id) {
    // Not-a-number has no place in an order, and std::sort leaves its range without one.
    kept.push_back({id, std::isnan(logits[id]) ? -INFINITY : logits[id], 0.0f});
  }
  // The front of this heap is the worst kept one.
  std::make_heap(kept.begin(), kept.end(), isBetter);
  while (next < vocabSize) {
    const int32_t count = std::min(kScanBlock, vocabSize - next);
    if (blockMaximum(logits + next, count) > kept.front().logit) {
      for (llama_token id = next; id < next + count; ++id) {
        if (!(logits[id] > kept.front().logit)) continue;
        std::pop_heap(kept.begin(), kept.end(), isBetter);
        kept.back() = {id, logits[id], 0.0f};
        std::push_heap(kept.begin(), kept.end(), isBetter);
      }
    }
    next += count;
  }
  std::sort(kept.begin(), kept.end(), isBetter);
}

llama_token bestToken(const float* logits, int32_t vocabSize) {
  llama_token best = 0;
  for (int32_t start = 0; start < vocabSize; start += kScanBlock) {
    const int32_t count = std::min(kScanBlock, vocabSize - start);
    if (!(blockMaximum(logits + start, count) > logits[best])) continue;
    for (llama_token id = start; id < start + count; ++id) {
      if (logits[id] > logits[best]) best = id;
    }
  }
  return best;
}

double logSumExp(const float* logits, int32_t vocabSize) {
  const double best = logits[bestToken(logits, vocabSize)];
  double sum = 0;
  for (int32_t id = 0; id < vocabSize; ++id) {
    if (std::isfinite(logits[id])) sum += std::exp(logits[id] - best);
  }
  return best + std::log(sum);
}

}  // namespace llamaestro
