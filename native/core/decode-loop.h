// Internal: the thread of a generating engine: take commands, plan, decode, sample, emit. The only place that touches
// the context's memory.
#pragma once

#include <memory>
#include <vector>

#include "loop.h"
#include "mailbox.h"
#include "prefix-cache.h"
#include "sequence.h"

namespace llamaestro {

class DecodeLoop : public Loop {
 public:
  explicit DecodeLoop(LoopParts parts);

  // Queues a sequence; false when the loop has ended. The caller counts waiting ones.
  bool post(std::shared_ptr<Sequence> sequence);

  // For prefix files, from any thread; null when no prefixes are kept.
  std::shared_ptr<PrefixStore> prefixes() const { return cache_.store(); }

  void run() override;
  void nudge() override { mailbox_.nudge(); }

 private:
  using SequencePtr = std::shared_ptr<Sequence>;

  void takeCommands();
  void endCancelled();
  void admitWaiting();
  void fillHole();
  void step();
  void runCall(const PlannedCall& call, const std::vector<SequencePtr>& planned);
  void advance(const SequencePtr& sequence, const DecodeRow& row);
  void emitSample(const SequencePtr& sequence, const float* logits);
  void finish(const SequencePtr& sequence, FinishedRow row);
  void fail(const SequencePtr& sequence, const Error& error);
  void endAll();
  void becomeIdle();

  LoopParts parts_;
  llama_memory_t memory_;
  SchedulerLimits limits_;
  PrefixCache cache_;
  Mailbox<SequencePtr> mailbox_;
  std::vector<SequencePtr> waiting_;  // in order of arrival
  std::vector<SequencePtr> active_;   // have a slot
  std::vector<bool> usedSlots_;
  uint64_t logBefore_ = 0;
};

}  // namespace llamaestro
