// Internal: whole sequences in host memory and back: their cells are free meanwhile, and they go on with the same
// tokens. Works for every kind of cache (attention, sliding window, recurrent). The context's own thread only.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "llama.h"

namespace llamaestro {

// What a sequence has in the cache; usable in the context that it comes from, in any slot, any number of times.
struct ParkedState {
  std::vector<uint8_t> bytes;
  uint64_t checksum = 0;  // llama.cpp itself accepts flipped bits
};

// The sequence is left as it is. Throws Failure internal, std::bad_alloc.
std::shared_ptr<const ParkedState> copyOut(llama_context* context, llama_seq_id from);

// Fills the empty sequence `to`. False when there is no room for it; `to` is empty then. Throws Failure internal when
// the state is damaged.
bool copyIn(llama_context* context, llama_seq_id to, const ParkedState& state);

// Gives the empty sequences of `to` what `from` has, at once: llama.cpp by itself copies a stream with the next decode
// only, and whatever is read from the target or put into it before that is lost.
void copyAcross(llama_context* context, llama_seq_id from, const std::vector<llama_seq_id>& to);

}  // namespace llamaestro
