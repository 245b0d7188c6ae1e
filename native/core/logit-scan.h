// Internal: looks at a row of logits without building candidate arrays: the best token, the k best, and the sum that
// turns logits into probabilities. Pure.
#pragma once

#include <cstdint>
#include <vector>

#include "error.h"
#include "llama.h"

namespace llamaestro {

// Thrown where a number that counts is none: softmax over it is garbage, and so is what the cache holds of it.
class NotFinite : public Failure {
 public:
  NotFinite() : Failure(codes::kInternal, "the model computed a logit that is not a finite number") {}
};

// The first of the best.
llama_token bestToken(const float* logits, int32_t vocabSize);

// The `k` (at least 1) best of `logits`, best first, equal ones by id; a not-a-number among the first `k` tokens counts
// as the worst.
void selectTop(const float* logits, int32_t vocabSize, int32_t k, std::vector<llama_token_data>& kept);

// Logarithm of the sum of exp(logit) over all that are finite.
double logSumExp(const float* logits, int32_t vocabSize);

}  // namespace llamaestro
