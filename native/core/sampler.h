// Internal: picks the next token from a row of logits with the semantics of llama.cpp's common sampler. Two faster
// paths (greedy, top-k first) give the same tokens, and are taken only where no option needs all candidates. Knows no
// text.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "constraint.h"
#include "llama.h"
#include "options.h"

struct common_sampler;

namespace llamaestro {

// SamplingOptions with defaults filled in and ranges checked. Grammar and schema are not among them.
struct SamplingChoice {
  float temperature = 0.8f;
  int32_t topK = 40;
  float topP = 0.95f;
  float minP = 0.05f;
  uint32_t seed = 0;
  float typicalP = 1;
  float repeatPenalty = 1;
  int32_t repeatLastN = 64;
  float frequencyPenalty = 0;
  float presencePenalty = 0;
  float dryMultiplier = 0;
  float dryBase = 1.75f;
  int32_t dryAllowedLength = 2;
  int32_t dryPenaltyLastN = 64;
  std::vector<std::string> drySequenceBreakers = {"\n", ":", "\"", "*"};
  float xtcProbability = 0;
  float xtcThreshold = 0.1f;
  int32_t mirostat = 0;
  float mirostatTau = 5;
  float mirostatEta = 0.1f;
  float dynatempRange = 0;
  float dynatempExponent = 1;
  std::vector<llama_logit_bias> logitBias;

  bool penalizes() const;
  bool breaksLoops() const;  // DRY is on
  // True when the choice depends on more than the best `topK` logits as the model computed them.
  bool needsAllCandidates() const;
  // True when no sampler can choose anything but the best logit.
  bool isGreedy() const;
};

// Throws Failure invalid_request naming the field. An absent seed is drawn.
SamplingChoice resolveSampling(const SequenceRequest& request, uint32_t vocabSize);

class Sampler {
 public:
  // `model` must outlive it. `prompt`: what the penalties count beside the generated tokens.
  Sampler(const llama_model* model, const SamplingChoice& choice, Constraint constraint = Constraint(),
          const std::vector<llama_token>& prompt = {});
  ~Sampler();
  Sampler(Sampler&&) noexcept;

  // Picks from `logits` (float[vocabulary]) and remembers the choice. LLAMA_TOKEN_NULL: the grammar is at its end and
  // the vocabulary has no token that says so. Throws Failure internal when the chosen logit is not a finite number (the
  // model computes garbage), invalid_request when the grammar allows none of the tokens or takes too long.
  llama_token pick(const float* logits);

  // The same through the unshortened path; for tests.
  llama_token pickSlowly(const float* logits);

 private:
  llama_token choose(const float* logits);
  llama_token chooseSlowly(const float* logits);
  llama_token chooseAllowed(const float* logits);
  void fillCandidates(const float* logits);
  llama_token chooseFrom(std::vector<llama_token_data>& candidates, bool sorted);
  llama_token accept(llama_token token, const float* logits);

  struct Deleter {
    void operator()(common_sampler* sampler) const;
  };
  std::unique_ptr<common_sampler, Deleter> sampler_;
  Constraint constraint_;
  SamplingChoice choice_;
  int32_t vocabSize_ = 0;
  bool needsAll_ = false;
  std::vector<llama_token_data> candidates_;
};

}  // namespace llamaestro
