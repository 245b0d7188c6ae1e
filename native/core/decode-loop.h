// Internal: the thread of a generating engine: take commands, plan, decode, sample, emit. The only place that touches
// the context's memory. Who has a slot is in decode-seats.cpp, what finished sequences leave there in
// decode-holders.cpp, what a computed step leads to in decode-tokens.cpp, the rest in decode-loop.cpp.
#pragma once

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "adapter-turns.h"
#include "cell-books.h"
#include "loop.h"
#include "mailbox.h"
#include "prefill-pace.h"
#include "prefix-cache.h"
#include "seat-choice.h"
#include "sequence.h"
#include "spoil-watch.h"
#include "task-pool.h"

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

  struct Draw {
    SequencePtr sequence;
    const float* logits = nullptr;
    Sequence::Pick pick;
    std::optional<Error> error;
    bool isNoNumber = false;
  };
  // A token whose text is still to be made.
  struct Untold {
    SequencePtr sequence;
    Sequence::Pick pick;
    bool hasLeft = false;  // it was the last one, and the place is free already
  };

  void turn();
  void failActive(const Error& error);
  void takeCommands();
  void endCancelled();
  void clearSpoiled();
  void lookAtUnknown(Decoder::Outcome outcome, const std::vector<DecodeRow>& rows,
                     const std::vector<SequencePtr>& owners);
  void admitWaiting();
  bool makeRoomFor(const Sequence& sequence);
  void makeRoomForStep();
  void giveBack(uint64_t wantedCells);
  void giveBackIdle();
  void dropHolder(uint32_t slot);
  bool cutSlot(uint32_t slot, uint32_t tokens);
  bool goOnFrom(uint32_t slot, uint32_t tokens);
  bool seat(const SequencePtr& sequence, const Sequence* copyFrom);
  void park(SequencePtr sequence);  // by value: it leaves the list that it may come from
  void fanOut(const SequencePtr& leader);
  std::vector<Claim> claims() const;
  std::vector<Seat> seats() const;
  void fillHole();
  void step();
  std::vector<SlotView> viewsOfTurn();
  void runCall(const PlannedCall& call, const std::vector<SequencePtr>& planned);
  void removePadding(std::vector<DecodeRow>& rows, std::vector<SequencePtr>& owners);
  void pass(const SequencePtr& sequence, const DecodeRow& row);
  std::vector<Draw> drawsOf(const std::vector<DecodeRow>& rows, const std::vector<SequencePtr>& owners);
  void drawAll(std::vector<Draw>& draws);
  void settle(Draw& draw);
  void goBack(Sequence& sequence, const Sequence::Pick& pick);
  void tellUntold();
  void tell(Untold& untold);
  void endTold();
  void finish(const SequencePtr& sequence, FinishedRow row);
  void fail(const SequencePtr& sequence, const Error& error);
  void leave(const SequencePtr& sequence, bool intact);
  void leaveSlot(const SequencePtr& sequence, uint32_t holds = 0);
  uint32_t staysBehind(const Sequence& leaving) const;
  DecodeRow paddingRow(uint32_t slot, const PlannedCall& call, const std::vector<SequencePtr>& planned);
  void conclude(const SequencePtr& sequence, FinishedRow row);
  void endAll();
  void becomeIdle();
  void recountCells();

  LoopParts parts_;
  llama_memory_t memory_;
  SchedulerLimits limits_;
  Room room_;
  PrefixCache cache_;
  CellBooks books_;
  AdapterTurns turns_;
  PrefillPace pace_;
  SpoilWatch spoil_;
  std::optional<uint64_t> appliedSpace_;  // whose adapters the context has
  Mailbox<SequencePtr> mailbox_;
  std::vector<SequencePtr> waiting_;  // no slot yet, or put aside
  std::vector<SequencePtr> active_;   // have a slot
  Holders holders_;                   // what is left in slots that nobody has
  std::vector<Seat> settled_;         // no move makes these better
  TaskPool samplers_;
  std::vector<Untold> untold_;
  std::vector<std::pair<SequencePtr, FinishedRow>> toldEnds_;  // their text has ended them; they still have a place
  uint64_t logBefore_ = 0;
};

}  // namespace llamaestro
