// Internal: where the decode thread puts events and the owner takes them from. All events of a step become visible at
// once; the wake is called only when the owner has taken everything that was announced before. Knows no decoding.
#pragma once

#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "events.h"
#include "llama.h"

namespace llamaestro {

class EventSink {
 public:
  explicit EventSink(std::function<void()> wake) : wake_(std::move(wake)) {}

  // One writer at a time: the decode thread, or the closing thread after the join.
  void started(uint32_t sequence, uint32_t promptTokens, uint32_t cachedTokens);
  void prefill(uint32_t sequence, uint32_t doneTokens, uint32_t totalTokens);
  void tokens(uint32_t sequence, uint32_t firstIndex, const llama_token* ids, size_t count, std::string_view text);
  // Belongs to the tokens that are added next.
  void logprobs(LogprobRow row);
  void finished(uint32_t sequence, FinishedRow row);
  void job(JobRow row);
  // Shows what was added since the last call and wakes the owner if it is not awake already.
  void publish();

  // Any thread.
  EventBatch drain();

 private:
  void addRow(uint32_t sequence, EventKind kind, uint32_t a, uint32_t b);

  std::function<void()> wake_;
  EventBatch step_;  // of the writer alone
  std::mutex mutex_;
  EventBatch shown_;
  bool announced_ = false;
};

}  // namespace llamaestro
