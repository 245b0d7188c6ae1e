// Internal and pure: how likely each of a few labels is to follow a prompt, from the logits after the prompt and after
// the beginnings that labels share. A label counts up to its first token that no other label has at that place; one
// that is the beginning of others counts with the chance that none of them goes on. Knows no model.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "llama.h"

namespace llamaestro {

class LabelScorer {
 public:
  // At least two labels, none empty, no two alike.
  explicit LabelScorer(const std::vector<std::vector<llama_token>>& labels);

  // The next token to compute: it stands at place `depth` (from 1) behind the prompt; what stands there and behind it
  // must go first.
  struct Step {
    llama_token token = 0;
    uint32_t depth = 0;
    std::vector<llama_token> way;  // from behind the prompt to there, `token` the last
  };
  // Takes float[vocabSize] at the place asked for last (first: after the prompt). Nothing: all scores are there. Throws
  // Failure internal when the logits are no numbers.
  std::optional<Step> take(const float* logits, int32_t vocabSize);

  // Natural logarithms of probabilities that sum to 1 over the labels, in their order.
  std::vector<float> scores() const;

  // True when it may ask for a place that is not behind all it has asked for before.
  bool goesBack() const;

  // Places behind the prompt that may be asked for, at most.
  uint32_t deepest() const { return deepest_; }

 private:
  struct Node {
    std::map<llama_token, uint32_t> children;  // indexes into nodes_
    std::optional<uint32_t> label;             // that ends here
    uint32_t labels = 0;                       // here and below
    uint32_t any = 0;                          // one of them
    uint32_t depth = 0;
    uint32_t before = 0;  // the node that this one follows
    llama_token token = 0;
    double logprob = 0;  // of the way here
  };

  std::vector<Node> nodes_;
  std::vector<uint32_t> open_;  // nodes to look at, the next one last
  std::vector<double> logprobs_;
  uint32_t deepest_ = 0;
};

}  // namespace llamaestro
