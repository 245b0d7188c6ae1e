#include "scheduler.h"

#include <algorithm>

#include "admission.h"

namespace llamaestro {
namespace {

// A prompt gains this share of a chunk per step it waits, so that a stream of short ones cannot starve it.
constexpr uint32_t kAgeingShare = 4;

// At most a chunk, and no more than `budget` where it can be cut.
uint32_t nextChunk(const SlotView& view, uint32_t chunkTokens, uint32_t pieceTokens, uint32_t budget) {
  const uint32_t boundary = (view.doneTokens / chunkTokens + 1) * chunkTokens;
  const uint32_t rest = std::min(boundary, view.totalTokens) - view.doneTokens;
  if (pieceTokens == 0 || rest <= budget || rest < 2 * pieceTokens) return rest;
  return std::min(budget, rest - pieceTokens) / pieceTokens * pieceTokens;
}

PlannedRow prefillRow(const std::vector<SlotView>& views, uint32_t view, uint32_t count) {
  const SlotView& one = views[view];
  return {{}, view, one.doneTokens, count, one.doneTokens + count == one.totalTokens};
}

std::vector<uint32_t> prefillOrder(const std::vector<SlotView>& views, const SchedulerLimits& limits) {
  std::vector<uint32_t> order;
  for (uint32_t i = 0; i < views.size(); ++i) {
    if (!views[i].generating() && !views[i].outOfTurn) order.push_back(i);
  }
  const auto rank = [&](uint32_t i) {
    const int64_t remaining = int64_t{views[i].totalTokens} - views[i].doneTokens;
    return remaining - int64_t{views[i].waitedSteps} * std::max(1u, limits.chunkTokens / kAgeingShare);
  };
  const auto level = [&](uint32_t i) { return effectivePriority(views[i].priority, views[i].waitedSteps); };
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    if (level(a) != level(b)) return level(a) > level(b);
    return rank(a) != rank(b) ? rank(a) < rank(b) : views[a].arrival < views[b].arrival;
  });
  return order;
}

// Rows by slot, cut into calls that llama.cpp computes as one ubatch each.
void appendCalls(const std::vector<SlotView>& views, std::vector<PlannedRow> rows, const SchedulerLimits& limits,
                 std::vector<PlannedCall>& calls) {
  const auto slotOf = [&](const PlannedRow& row) { return row.padding ? *row.padding : views[row.view].slot; };
  std::sort(rows.begin(), rows.end(), [&](const PlannedRow& a, const PlannedRow& b) { return slotOf(a) < slotOf(b); });
  const size_t first = calls.size();
  for (const PlannedRow& row : rows) {
    bool joins = !limits.alone && calls.size() > first && calls.back().tokens() + row.count <= limits.batchTokens;
    if (joins && !limits.unified) {
      const PlannedRow& last = calls.back().rows.back();
      joins = last.count == row.count && slotOf(last) + 1 == slotOf(row);
    }
    if (!joins) calls.emplace_back();
    calls.back().rows.push_back(row);
  }
}

// Tokens for the empty slots between generating sequences, where few of them are missing in a row.
std::vector<PlannedRow> paddingOf(const std::vector<SlotView>& views, const SchedulerLimits& limits) {
  std::vector<PlannedRow> padding;
  if (limits.unified || limits.alone || limits.mostPadding == 0) return padding;
  std::vector<SlotView> bySlot = views;
  std::sort(bySlot.begin(), bySlot.end(), [](const SlotView& a, const SlotView& b) { return a.slot < b.slot; });
  // Whoever is out of turn has its cells in its slot: a gap ends there, as it does at a prompt.
  const auto goesOn = [&](size_t i) { return bySlot[i].generating() && !bySlot[i].outOfTurn; };
  uint32_t tokens = 0;
  for (size_t i = 0; i < bySlot.size(); ++i) {
    if (!goesOn(i)) continue;
    const uint32_t gap = i > 0 && goesOn(i - 1) ? bySlot[i].slot - bySlot[i - 1].slot - 1 : 0;
    tokens += 1 + gap;
    // Where another call begins, be it for want of room, there is nothing to bridge.
    if (gap > limits.mostPadding || tokens > limits.batchTokens) {
      tokens = 1;
      continue;
    }
    for (uint32_t slot = bySlot[i].slot - gap; slot < bySlot[i].slot; ++slot) padding.push_back({slot, 0, 0, 1, false});
  }
  return padding;
}

}  // namespace

uint32_t PlannedCall::tokens() const {
  uint32_t sum = 0;
  for (const PlannedRow& row : rows) sum += row.count;
  return sum;
}

std::vector<PlannedCall> planCalls(const std::vector<SlotView>& views, const SchedulerLimits& limits) {
  std::vector<PlannedCall> calls;
  std::vector<PlannedRow> generating = paddingOf(views, limits);
  for (uint32_t i = 0; i < views.size(); ++i) {
    if (views[i].generating() && !views[i].outOfTurn) generating.push_back({{}, i, views[i].totalTokens, 1, true});
  }
  appendCalls(views, std::move(generating), limits, calls);

  const uint32_t chunk = std::min(limits.chunkTokens, limits.batchTokens);
  const bool somebodyWaits = std::any_of(views.begin(), views.end(), [](const SlotView& v) { return v.generating(); });
  const bool isCut = limits.pieceTokens > 0 && somebodyWaits;
  const uint32_t budget = isCut ? std::max(limits.pieceTokens, std::min(chunk, limits.besideTokens)) : chunk;
  uint32_t planned = 0;
  std::vector<PlannedRow> prompts;
  for (uint32_t view : prefillOrder(views, limits)) {
    const uint32_t count = nextChunk(views[view], chunk, limits.pieceTokens, budget);
    if (planned > 0 && planned + count > budget) continue;
    planned += count;
    prompts.push_back(prefillRow(views, view, count));
  }
  appendCalls(views, std::move(prompts), limits, calls);
  return calls;
}

}  // namespace llamaestro
