#include "event-sink.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "event-merge.h"

namespace llamaestro {
namespace {

// What is added then cannot fail.
template <typename T>
void makeRoom(T& list, size_t more) {
  if (list.capacity() - list.size() < more) list.reserve(std::max(list.size() + more, 2 * list.capacity()));
}

void appendShifted(std::vector<uint32_t>& to, const std::vector<uint32_t>& from, size_t by) {
  for (uint32_t value : from) to.push_back(value + static_cast<uint32_t>(by));
}

template <typename T>
void appendMoved(std::vector<T>& to, std::vector<T>& from) {
  to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
}

void makeRoom(EventBatch& to, const EventBatch& from) {
  makeRoom(to.logprobs, from.logprobs.size());
  makeRoom(to.parts, from.parts.size());
  makeRoom(to.sequence, from.sequence.size());
  makeRoom(to.kind, from.kind.size());
  makeRoom(to.a, from.a.size());
  makeRoom(to.b, from.b.size());
  makeRoom(to.tokenEnd, from.tokenEnd.size());
  makeRoom(to.textEnd, from.textEnd.size());
  makeRoom(to.tokenSlab, from.tokenSlab.size());
  makeRoom(to.textSlab, from.textSlab.size());
  makeRoom(to.finished, from.finished.size());
  makeRoom(to.jobs, from.jobs.size());
}

void append(EventBatch& to, EventBatch& from) {
  makeRoom(to, from);
  const size_t finishedBefore = to.finished.size();
  for (size_t i = 0; i < from.kind.size(); ++i) {
    if (from.kind[i] == static_cast<uint8_t>(EventKind::Finished)) from.a[i] += static_cast<uint32_t>(finishedBefore);
  }
  for (LogprobRow& row : from.logprobs) row.row += static_cast<uint32_t>(to.kind.size());
  for (PartsRow& row : from.parts) row.row += static_cast<uint32_t>(to.kind.size());
  appendMoved(to.logprobs, from.logprobs);
  appendMoved(to.parts, from.parts);
  appendMoved(to.sequence, from.sequence);
  appendMoved(to.kind, from.kind);
  appendMoved(to.a, from.a);
  appendMoved(to.b, from.b);
  appendShifted(to.tokenEnd, from.tokenEnd, to.tokenSlab.size());
  appendShifted(to.textEnd, from.textEnd, to.textSlab.size());
  appendMoved(to.tokenSlab, from.tokenSlab);
  to.textSlab += from.textSlab;
  appendMoved(to.finished, from.finished);
  appendMoved(to.jobs, from.jobs);
}

}  // namespace

void EventSink::makeRoomForRow() {
  makeRoom(step_.sequence, 1);
  makeRoom(step_.kind, 1);
  makeRoom(step_.a, 1);
  makeRoom(step_.b, 1);
  makeRoom(step_.tokenEnd, 1);
  makeRoom(step_.textEnd, 1);
}

void EventSink::addRow(uint32_t sequence, EventKind kind, uint32_t a, uint32_t b) {
  step_.sequence.push_back(sequence);
  step_.kind.push_back(static_cast<uint8_t>(kind));
  step_.a.push_back(a);
  step_.b.push_back(b);
  step_.tokenEnd.push_back(static_cast<uint32_t>(step_.tokenSlab.size()));
  step_.textEnd.push_back(static_cast<uint32_t>(step_.textSlab.size()));
  urgent_ = urgent_ || kind != EventKind::Tokens || a == 0;
}

void EventSink::started(uint32_t sequence, uint32_t promptTokens, uint32_t cachedTokens) {
  makeRoomForRow();
  addRow(sequence, EventKind::Started, promptTokens, cachedTokens);
}

void EventSink::prefill(uint32_t sequence, uint32_t doneTokens, uint32_t totalTokens) {
  makeRoomForRow();
  addRow(sequence, EventKind::Prefill, doneTokens, totalTokens);
}

void EventSink::tokens(uint32_t sequence, uint32_t firstIndex, const llama_token* ids, size_t count,
                       std::string_view text) {
  makeRoomForRow();
  makeRoom(step_.tokenSlab, count);
  makeRoom(step_.textSlab, text.size());
  step_.tokenSlab.insert(step_.tokenSlab.end(), ids, ids + count);
  step_.textSlab.append(text);
  addRow(sequence, EventKind::Tokens, firstIndex, static_cast<uint32_t>(count));
}

void EventSink::logprobs(LogprobRow&& row) {
  makeRoom(step_.logprobs, 1);
  row.row = static_cast<uint32_t>(step_.kind.size());
  step_.logprobs.push_back(std::move(row));
}

void EventSink::parts(PartsRow&& row) {
  makeRoom(step_.parts, 1);
  row.row = static_cast<uint32_t>(step_.kind.size());
  step_.parts.push_back(std::move(row));
}

void EventSink::finished(uint32_t sequence, FinishedRow&& row) {
  makeRoomForRow();
  makeRoom(step_.finished, 1);
  step_.finished.push_back(std::move(row));
  addRow(sequence, EventKind::Finished, static_cast<uint32_t>(step_.finished.size() - 1), 0);
}

void EventSink::job(JobRow&& row) {
  makeRoom(step_.jobs, 1);
  step_.jobs.push_back(std::move(row));
  urgent_ = true;
}

void EventSink::publish() {
  const auto pace = std::chrono::milliseconds(kTokenPaceMs);
  if (urgent_ || std::chrono::steady_clock::now() - shownAt_ >= pace) publishNow();
}

void EventSink::publishNow() {
  if (step_.empty()) return;
  bool wakes = false;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (shown_.empty()) {
      std::swap(shown_, step_);
    } else {
      append(shown_, step_);
    }
    wakes = !std::exchange(announced_, true);
  }
  step_ = EventBatch();
  urgent_ = false;
  shownAt_ = std::chrono::steady_clock::now();
  if (wakes && wake_) wake_();
}

EventBatch EventSink::drain() {
  EventBatch taken;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    announced_ = false;
    taken = std::exchange(shown_, EventBatch());
  }
  return mergeTokenRows(std::move(taken));
}

}  // namespace llamaestro
