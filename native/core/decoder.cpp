#include "decoder.h"

namespace llamaestro {
namespace {

bool onAbortCheck(void* data) { return static_cast<Decoder*>(data)->shouldStop(); }

// Gives the turn back however the scope is left.
class Turn {
 public:
  explicit Turn(StepLock* lock) : lock_(lock) {}
  ~Turn() {
    if (lock_ != nullptr) lock_->release();
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  StepLock* lock_;
};

}  // namespace

Decoder::Decoder(llama_context* context, uint32_t batchTokens, bool onCpu, bool abortable, StepLock* lock,
                 const StopSignal& signal, Counters& counters)
    : context_(context),
      batch_(batchTokens),
      onCpu_(onCpu),
      abortable_(abortable),
      lock_(lock),
      signal_(signal),
      counters_(counters),
      threads_(context, onCpu, counters) {
  // Other backends do not ask it, and Metal leaves out work while one is set.
  if (onCpu_) llama_set_abort_callback(context_, onAbortCheck, this);
}

Decoder::~Decoder() {
  if (onCpu_) llama_set_abort_callback(context_, nullptr, nullptr);
}

bool Decoder::shouldStop() {
  if (signal_.closing.load(std::memory_order_relaxed)) return true;
  // While it computes a recurrent state, an abort would corrupt every sequence of the call.
  if (computing_ && !abortable_) return false;
  const uint32_t changes = signal_.changes.load(std::memory_order_relaxed);
  if (changes == seenChanges_) return false;
  seenChanges_ = changes;
  size_t all = 0;
  size_t cancelled = 0;
  for (const DecodeRow& row : *current_) {
    if (row.work == nullptr) continue;
    all += row.tokens.size();
    if (row.work->cancelled.load()) cancelled += row.tokens.size();
  }
  // An abort throws the neighbours' part away too: worth it only when theirs is the smaller one.
  return 2 * cancelled >= all;
}

void Decoder::fill(std::vector<DecodeRow>& rows) {
  batch_.clear();
  for (DecodeRow& row : rows) {
    llama_pos position = row.firstPosition;
    for (size_t i = 0; i < row.tokens.size(); ++i) {
      const bool isLast = i + 1 == row.tokens.size();
      const int32_t at = batch_.add(row.tokens[i], position++, row.slot, row.wantsAll || (isLast && row.wantsOutput));
      if (isLast) row.outputIndex = at;
    }
  }
}

// llama.cpp removes an aborted ubatch by itself; doing it again for every row costs nothing and does not rely on a call
// being one ubatch.
void Decoder::removeRows(const std::vector<DecodeRow>& rows) {
  llama_memory_t memory = llama_get_memory(context_);
  if (memory == nullptr) return;
  for (const DecodeRow& row : rows) llama_memory_seq_rm(memory, row.slot, row.firstPosition, -1);
}

Decoder::Outcome Decoder::decode(std::vector<DecodeRow>& rows, const std::function<void()>& meanwhile) {
  fill(rows);
  current_ = &rows;
  seenChanges_ = signal_.changes.load() - 1;  // whatever was cancelled before counts too
  // Whoever waits for others does not hang.
  const auto givesUp = [this] {
    counters_.busySinceMs.store(monotonicMs());
    return shouldStop();
  };
  if (lock_ != nullptr && !lock_->acquire(givesUp)) return Outcome::Stopped;
  const Turn turn(lock_);
  seenChanges_ = signal_.changes.load() - 1;
  computing_ = true;
  threads_.begin(rows);
  const uint64_t beganMs = monotonicMs();
  const int32_t code = llama_decode(context_, batch_.raw());
  if (code == 0) threads_.end();
  if (code == 0 && meanwhile) meanwhile();
  if (code == 0) llama_synchronize(context_);
  computing_ = false;
  counters_.steps.fetch_add(1);
  const uint64_t nowMs = monotonicMs();
  counters_.busySinceMs.store(nowMs);
  lastMs_ = nowMs - beganMs;
  if (code == 2) {
    removeRows(rows);
    return Outcome::Stopped;
  }
  if (code == 1) return Outcome::NoRoom;
  return code == 0 ? Outcome::Done : Outcome::Failed;
}

}  // namespace llamaestro
