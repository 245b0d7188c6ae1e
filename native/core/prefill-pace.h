// Internal and pure: how many prompt tokens a step may compute beside sequences that generate, so that these do not
// wait long. The chunk was measured in an empty context; behind thousands of tokens it takes longer, and so it does
// beside other programs. Knows no clock.
#pragma once

#include <cstdint>

namespace llamaestro {

class PrefillPace {
 public:
  // What a call with prompts took.
  void note(uint32_t tokens, double ms);
  // Tokens that take at most `ms`, by the last call; without limit before the first.
  uint32_t tokensWithin(double ms) const;

 private:
  double msPerToken_ = 0;
};

}  // namespace llamaestro
