// Internal: how long this context needs for a few prompt tokens. Runs before the engine's thread does.
#pragma once

#include <cstdint>
#include <functional>

#include "llama.h"
#include "step-lock.h"

namespace llamaestro {

// Milliseconds that `tokens` prompt tokens take in sequence 0 of an empty context, which is empty again afterwards; 0
// when `cancelled` or when they could not be computed. `onCpu`: nothing is computed elsewhere, so that the time of the
// calling thread on a core is what counts: what else runs on the machine does not. Waits for the CPU turn first where
// there is a lock (may be null).
double measurePrefill(llama_context* context, uint32_t tokens, bool onCpu, StepLock* lock,
                      const std::function<bool()>& cancelled);

}  // namespace llamaestro
