// Measures the engine without Node: core-bench MODEL.gguf SLOTS PROMPT_TOKENS NEW_TOKENS [THREADS] [TEMPERATURE]
// [STEP_LOCK]. Prints prompt tokens/s, generated tokens/s while all sequences run, and the longest gap between two
// events of one.
#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>

#include "engine.h"

using namespace llamaestro;
using Clock = std::chrono::steady_clock;

namespace {

double secondsSince(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

double argument(int count, char** values, int index, double otherwise) {
  return index < count ? atof(values[index]) : otherwise;
}

struct Waker {
  std::mutex mutex;
  std::condition_variable woken;
  bool awake = false;
  void wake() {
    std::lock_guard<std::mutex> lock(mutex);
    awake = true;
    woken.notify_one();
  }
  void wait() {
    std::unique_lock<std::mutex> lock(mutex);
    woken.wait(lock, [this] { return awake; });
    awake = false;
  }
};

}  // namespace

int main(int count, char** values) {
  if (count < 5) {
    fprintf(stderr, "core-bench MODEL.gguf SLOTS PROMPT_TOKENS NEW_TOKENS [THREADS] [TEMPERATURE] [STEP_LOCK]\n");
    return 2;
  }
  const double slots = atof(values[2]);
  const double promptTokens = atof(values[3]);
  const double newTokens = atof(values[4]);
  LoadOptions options;
  options.file = values[1];
  options.slots = slots;
  options.contextTokens = slots * (promptTokens + newTokens + 8);
  if (count > 5) options.threads = atof(values[5]);
  if (count > 7) options.stepLock = values[7];
  Waker waker;
  LoadHooks hooks;
  hooks.wake = [&] { waker.wake(); };
  Result<std::shared_ptr<Engine>> loaded = Engine::load(options, hooks);
  if (!loaded.ok()) {
    fprintf(stderr, "%s: %s\n", loaded.error().code.c_str(), loaded.error().message.c_str());
    return 1;
  }
  Engine& engine = *loaded.value();
  SequenceRequest request;
  request.prompt.kind = Prompt::Kind::Tokens;
  request.ignoreEos = true;
  request.maxTokens = newTokens;
  request.temperature = argument(count, values, 6, 0);
  request.seed = 1;
  const Clock::time_point begin = Clock::now();
  for (int i = 0; i < slots; ++i) {
    request.prompt.tokens.assign(static_cast<size_t>(promptTokens), 100 + i);
    if (!engine.submit(request).ok()) return 1;
  }
  int finished = 0;
  std::map<uint32_t, Clock::time_point> lastSeen;
  double longestGap = 0;
  double allStarted = 0;
  double firstEnded = 0;
  uint64_t tokensAtStart = 0;
  uint64_t tokensAtEnd = 0;
  while (finished < slots) {
    waker.wait();
    const EventBatch batch = engine.drain();
    for (size_t i = 0; i < batch.sequence.size(); ++i) {
      const auto kind = static_cast<EventKind>(batch.kind[i]);
      if (kind == EventKind::Tokens) {
        const auto seen = lastSeen.find(batch.sequence[i]);
        if (seen != lastSeen.end()) longestGap = std::max(longestGap, secondsSince(seen->second));
        lastSeen[batch.sequence[i]] = Clock::now();
      }
      if (kind == EventKind::Finished) ++finished;
    }
    if (allStarted == 0 && lastSeen.size() == static_cast<size_t>(slots)) {
      allStarted = secondsSince(begin);
      tokensAtStart = engine.stats().generatedTokens;
    }
    if (firstEnded == 0 && finished > 0) {
      firstEnded = secondsSince(begin);
      tokensAtEnd = engine.stats().generatedTokens;
    }
  }
  const double wall = secondsSince(begin);
  printf("load %.0f ms, prompts %.0f tokens/s, all running %.1f tokens/s, whole %.1f tokens/s, longest gap %.1f ms\n",
         engine.info().loadMs, slots * promptTokens / allStarted,
         static_cast<double>(tokensAtEnd - tokensAtStart) / (firstEnded - allStarted), slots * newTokens / wall,
         1000 * longestGap);
  return 0;
}
