// Internal: where the decode thread puts events and the owner takes them from. All events of a step become visible at
// once; the wake is called only when the owner has taken everything that was announced before. On a machine that
// computes on every core, what an owner does with a step takes its time from the next one (bench/RESULTS.md): tokens
// that merely go on are therefore shown at most every `kTokenPaceMs`. Knows no decoding.
#pragma once

#include <chrono>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "events.h"
#include "llama.h"

namespace llamaestro {

// No eye and no terminal follows more than a hundred updates a second. Firsts and ends are never held back.
inline constexpr int kTokenPaceMs = 10;

class EventSink {
 public:
  explicit EventSink(std::function<void()> wake) : wake_(std::move(wake)) {}

  // One writer at a time: the decode thread, or the closing thread after the join. Each of these happens whole, or
  // throws std::bad_alloc and has changed nothing, the row that it was given included.
  void started(uint32_t sequence, uint32_t promptTokens, uint32_t cachedTokens);
  void prefill(uint32_t sequence, uint32_t doneTokens, uint32_t totalTokens);
  void tokens(uint32_t sequence, uint32_t firstIndex, const llama_token* ids, size_t count, std::string_view text);
  // Belongs to the tokens that are added next.
  void logprobs(LogprobRow&& row);
  void parts(PartsRow&& row);
  void finished(uint32_t sequence, FinishedRow&& row);
  void job(JobRow&& row);
  // Shows what was added since the last time and wakes the owner if it is not awake already. Tokens of sequences that
  // have shown some before may wait for the next call, when the last time was less than `kTokenPaceMs` ago.
  void publish();
  // The same without waiting: for when the next call of `publish` may be long in coming.
  void publishNow();

  // Any thread.
  EventBatch drain();

 private:
  void makeRoomForRow();
  void addRow(uint32_t sequence, EventKind kind, uint32_t a, uint32_t b);

  std::function<void()> wake_;
  EventBatch step_;      // of the writer alone
  bool urgent_ = false;  // `step_` holds more than tokens that go on
  std::chrono::steady_clock::time_point shownAt_{};
  std::mutex mutex_;
  EventBatch shown_;
  bool announced_ = false;
};

}  // namespace llamaestro
