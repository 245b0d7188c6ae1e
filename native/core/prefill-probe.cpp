#include "prefill-probe.h"

#include <ctime>

#include "batch.h"

namespace llamaestro {
namespace {

// Different tokens: equal ones would all go to the same experts.
constexpr uint32_t kStride = 37;

bool onAbortCheck(void* data) { return (*static_cast<const std::function<bool()>*>(data))(); }

double nowMs(bool onCpu) {
  timespec now{};
  clock_gettime(onCpu ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &now);
  return 1e3 * static_cast<double>(now.tv_sec) + 1e-6 * static_cast<double>(now.tv_nsec);
}

double computeOnce(llama_context* context, const Batch& batch, bool onCpu) {
  const double begin = nowMs(onCpu);
  if (llama_decode(context, batch.raw()) != 0) return 0;
  llama_synchronize(context);
  return nowMs(onCpu) - begin;
}

}  // namespace

double measurePrefill(llama_context* context, uint32_t tokens, bool onCpu, StepLock* lock,
                      const std::function<bool()>& cancelled) {
  const auto vocabSize = static_cast<uint32_t>(llama_vocab_n_tokens(llama_model_get_vocab(llama_get_model(context))));
  Batch batch(tokens);
  for (uint32_t i = 0; i < tokens; ++i) {
    batch.add(static_cast<llama_token>(i * kStride % vocabSize), static_cast<llama_pos>(i), 0, i + 1 == tokens);
  }
  if (lock != nullptr && !lock->acquire(cancelled)) return 0;
  llama_set_abort_callback(context, onAbortCheck, const_cast<std::function<bool()>*>(&cancelled));
  const double ms = computeOnce(context, batch, onCpu);
  llama_set_abort_callback(context, nullptr, nullptr);
  if (lock != nullptr) lock->release();
  llama_memory_clear(llama_get_memory(context), false);
  return ms;
}

}  // namespace llamaestro
