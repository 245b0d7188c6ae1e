#include "prefill-probe.h"

#include <chrono>

#include "batch.h"

namespace llamaestro {
namespace {

using Clock = std::chrono::steady_clock;

// Different tokens: equal ones would all go to the same experts.
constexpr uint32_t kStride = 37;

bool onAbortCheck(void* data) { return (*static_cast<const std::function<bool()>*>(data))(); }

double computeOnce(llama_context* context, const Batch& batch) {
  const Clock::time_point begin = Clock::now();
  if (llama_decode(context, batch.raw()) != 0) return 0;
  llama_synchronize(context);
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

}  // namespace

double measurePrefill(llama_context* context, uint32_t tokens, StepLock* lock, const std::function<bool()>& cancelled) {
  const auto vocabSize = static_cast<uint32_t>(llama_vocab_n_tokens(llama_model_get_vocab(llama_get_model(context))));
  Batch batch(tokens);
  for (uint32_t i = 0; i < tokens; ++i) {
    batch.add(static_cast<llama_token>(i * kStride % vocabSize), static_cast<llama_pos>(i), 0, i + 1 == tokens);
  }
  if (lock != nullptr && !lock->acquire(cancelled)) return 0;
  llama_set_abort_callback(context, onAbortCheck, const_cast<std::function<bool()>*>(&cancelled));
  const double ms = computeOnce(context, batch);
  llama_set_abort_callback(context, nullptr, nullptr);
  if (lock != nullptr) lock->release();
  llama_memory_clear(llama_get_memory(context), false);
  return ms;
}

}  // namespace llamaestro
