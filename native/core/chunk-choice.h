// Internal and pure: how many prompt tokens one call computes. Chosen once per load from what this machine needs for a
// few tokens of this model, and fixed from then on: the grid of chunks decides rounding, so it is a part of what a
// cached prefix is known by. Knows neither llama.cpp nor a clock.
#pragma once

#include <cstdint>
#include <functional>

namespace llamaestro {

// A chunk takes at most this long: what a running sequence waits for its next token, and a short prompt for its turn
// behind a long one.
inline constexpr double kMaxChunkMs = 250;

// Milliseconds that measuring may take in a load that took `loadMs` so far.
double chunkMeasureMs(double loadMs);

// The largest of 16, 32, 64 ... `most` of which a chunk takes at most kMaxChunkMs, at least 16. `timeOf` computes that
// many tokens and tells the milliseconds, or nothing above 0 when it could not; it is asked twice for each size (the
// better one counts: other work on the machine only ever adds), once when a look takes more than what is left of
// `budgetMs`. Few tokens are slower each than many, so that an answer from 16 tokens errs towards short chunks; where
// it would shorten them, 64 are asked for too.
uint32_t chooseChunk(uint32_t most, double budgetMs, const std::function<double(uint32_t)>& timeOf);

}  // namespace llamaestro
