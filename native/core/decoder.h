// Internal: one llama_decode at a time: fills the batch, waits for the CPU turn, computes, and can be stopped in the
// middle of a graph. Knows rows of tokens and whom they belong to, not why they were chosen.
#pragma once

#include <functional>
#include <vector>

#include "batch.h"
#include "counters.h"
#include "llama-handles.h"
#include "step-lock.h"
#include "step-threads.h"
#include "work.h"

namespace llamaestro {

// Tokens of one work inside a call.
struct DecodeRow {
  const Work* work = nullptr;  // null: padding, which nobody wants
  llama_seq_id slot = 0;
  std::vector<llama_token> tokens;
  llama_pos firstPosition = 0;
  bool wantsOutput = false;  // logits of the last token
  bool wantsAll = false;     // outputs of all tokens (pooled work)
  int32_t outputIndex = -1;  // set by decode: what llama_get_logits_ith takes
};

class Decoder {
 public:
  // `abortable`: stopping inside a graph leaves the other rows intact. `onCpu`: the backend asks the abort callback at
  // all. `lock` may be null.
  Decoder(llama_context* context, uint32_t batchTokens, bool onCpu, bool abortable, StepLock* lock,
          const StopSignal& signal, Counters& counters);
  ~Decoder();
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  enum class Outcome { Done, Stopped, NoRoom, Failed };

  // Computes the rows as one ubatch. Stopped: nothing of the call is in the cache (rows of works that were not
  // cancelled can be sent again). NoRoom: the same, for want of cells. Failed: llama.cpp refused; the caller drops the
  // sequences. `meanwhile` is called when the device has the work, and before it is done where it works by itself.
  Outcome decode(std::vector<DecodeRow>& rows, const std::function<void()>& meanwhile = {});

  // What the last decode took, without the wait for its turn.
  uint64_t lastMs() const { return lastMs_; }

  // True when the cancelled part of the rows under way is worth stopping for, or everything ends.
  bool shouldStop();

 private:
  void fill(std::vector<DecodeRow>& rows);
  void removeRows(const std::vector<DecodeRow>& rows);

  llama_context* context_;
  Batch batch_;
  const bool onCpu_;
  const bool abortable_;
  StepLock* lock_;
  const StopSignal& signal_;
  Counters& counters_;
  StepThreads threads_;
  const std::vector<DecodeRow>* current_ = nullptr;
  uint32_t seenChanges_ = 0;
  bool computing_ = false;
  uint64_t lastMs_ = 0;
};

}  // namespace llamaestro
