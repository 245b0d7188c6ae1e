#include "prefill-pace.h"

namespace llamaestro {

void PrefillPace::note(uint32_t tokens, double ms) {
  if (tokens > 0) msPerToken_ = ms / tokens;
}

uint32_t PrefillPace::tokensWithin(double ms) const {
  const double tokens = msPerToken_ > 0 ? ms / msPerToken_ : UINT32_MAX;
  return tokens < UINT32_MAX ? static_cast<uint32_t>(tokens) : UINT32_MAX;
}

}  // namespace llamaestro
