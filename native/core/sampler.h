// Internal: picks the next token from a row of logits with the semantics of llama.cpp's common sampler. Two faster
// paths (greedy, top-k first) give the same tokens. Knows no text.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "llama.h"
#include "options.h"

struct common_sampler;

namespace llamaestro {

// SamplingOptions with defaults filled in and ranges checked.
struct SamplingChoice {
  float temperature = 0.8f;
  int32_t topK = 40;
  float topP = 0.95f;
  float minP = 0.05f;
  uint32_t seed = 0;
};

// Throws Failure invalid_request naming the field. An absent seed is drawn.
SamplingChoice resolveSampling(const SequenceRequest& request, uint32_t vocabSize);

class Sampler {
 public:
  // `model` must outlive it.
  Sampler(const llama_model* model, const SamplingChoice& choice);
  ~Sampler();
  Sampler(Sampler&&) noexcept;

  // Picks from `logits` (float[vocabulary]) and remembers the choice. Throws Failure internal when the chosen logit is
  // not a finite number: the model computes garbage.
  llama_token pick(const float* logits);

  // The same through the unshortened path; for tests.
  llama_token pickSlowly(const float* logits);

 private:
  llama_token pickFrom(std::vector<llama_token_data>& candidates, bool sorted);
  llama_token accept(llama_token token, float logit);

  struct Deleter {
    void operator()(common_sampler* sampler) const;
  };
  std::unique_ptr<common_sampler, Deleter> sampler_;
  SamplingChoice choice_;
  int32_t vocabSize_ = 0;
  bool hasSuppressed_ = false;  // the model bans tokens: only the full path knows
  std::vector<llama_token_data> candidates_;
};

}  // namespace llamaestro
