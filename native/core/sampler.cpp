#include "sampler.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "error.h"
#include "numbers.h"
#include "sampling.h"

namespace llamaestro {
namespace {

constexpr double kMaxSeed = 4294967295.0;
constexpr int32_t kMaxFastTopK = 1024;
constexpr int32_t kScanBlock = 64;

// llama.cpp reads its default seed as "draw one"; a caller who asks for that very number wants the same tokens each
// time.
uint32_t fixedSeed(uint32_t seed) { return seed == LLAMA_DEFAULT_SEED ? seed - 1 : seed; }

bool isBetter(const llama_token_data& a, const llama_token_data& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
}

float blockMaximum(const float* logits, int32_t count) {
  float best = logits[0];
  for (int32_t i = 1; i < count; ++i) best = logits[i] > best ? logits[i] : best;
  return best;
}

// The `k` best of `logits`, best first. Blocks whose maximum does not reach the worst kept one are skipped whole.
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

// The best logit must be a number: softmax over anything else is garbage.
void requireFinite(float logit) {
  if (!std::isfinite(logit)) throw Failure(codes::kInternal, "the model computed a logit that is not a finite number");
}

}  // namespace

SamplingChoice resolveSampling(const SequenceRequest& request, uint32_t vocabSize) {
  SamplingChoice choice;
  choice.temperature = static_cast<float>(rangedNumber(request.temperature, "temperature", 0, 100, choice.temperature));
  choice.topK = static_cast<int32_t>(wholeNumber(request.topK, "topK", 0, vocabSize).value_or(40));
  choice.topP = static_cast<float>(rangedNumber(request.topP, "topP", 0, 1, choice.topP, true));
  choice.minP = static_cast<float>(rangedNumber(request.minP, "minP", 0, 1, choice.minP));
  const std::optional<uint32_t> seed = wholeNumber(request.seed, "seed", 0, kMaxSeed);
  choice.seed = fixedSeed(seed ? *seed : std::random_device{}());
  return choice;
}

void Sampler::Deleter::operator()(common_sampler* sampler) const { common_sampler_free(sampler); }

Sampler::Sampler(const llama_model* model, const SamplingChoice& choice) : choice_(choice) {
  const llama_vocab* vocab = llama_model_get_vocab(model);
  vocabSize_ = llama_vocab_n_tokens(vocab);
  int32_t suppressed = 0;
  llama_vocab_get_suppress_tokens(vocab, &suppressed);
  hasSuppressed_ = suppressed > 0;
  common_params_sampling params;
  params.temp = choice.temperature;
  params.top_k = choice.topK;
  params.top_p = choice.topP;
  params.min_p = choice.minP;
  params.seed = choice.seed;
  params.no_perf = true;
  sampler_.reset(common_sampler_init(model, params));
}

Sampler::~Sampler() = default;
Sampler::Sampler(Sampler&&) noexcept = default;

llama_token Sampler::accept(llama_token token, float logit) {
  requireFinite(logit);
  common_sampler_accept(sampler_.get(), token, true);
  return token;
}

llama_token Sampler::pickFrom(std::vector<llama_token_data>& candidates, bool sorted) {
  llama_token_data_array array{candidates.data(), candidates.size(), -1, sorted};
  llama_sampler_apply(common_sampler_get(sampler_.get()), &array);
  if (array.selected < 0 || static_cast<size_t>(array.selected) >= array.size) {
    throw Failure(codes::kInternal, "no token could be chosen");
  }
  const llama_token_data& chosen = array.data[array.selected];
  return accept(chosen.id, chosen.logit);
}

llama_token Sampler::pick(const float* logits) {
  if (!hasSuppressed_ && choice_.temperature <= 0) {
    const llama_token best = bestToken(logits, vocabSize_);
    return accept(best, logits[best]);
  }
  if (!hasSuppressed_ && choice_.topK > 0 && choice_.topK <= kMaxFastTopK) {
    selectTop(logits, vocabSize_, choice_.topK, candidates_);
    requireFinite(candidates_.front().logit);
    return pickFrom(candidates_, true);
  }
  return pickSlowly(logits);
}

llama_token Sampler::pickSlowly(const float* logits) {
  candidates_.resize(static_cast<size_t>(vocabSize_));
  float best = -INFINITY;
  for (llama_token id = 0; id < vocabSize_; ++id) {
    candidates_[static_cast<size_t>(id)] = {id, logits[id], 0.0f};
    // A not-a-number wins and stays: it must not reach the samplers, which assert on what follows from it.
    if (!(logits[id] <= best)) best = logits[id];
    if (std::isnan(best)) break;
  }
  requireFinite(best);
  return pickFrom(candidates_, false);
}

}  // namespace llamaestro
