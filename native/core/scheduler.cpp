#include "scheduler.h"

#include <algorithm>

#include "admission.h"

namespace llamaestro {
namespace {

// A prompt gains this share of a chunk per step it waits, so that a stream of short ones cannot starve it.
constexpr uint32_t kAgeingShare = 4;

uint32_t nextChunk(const SlotView& view, uint32_t chunkTokens) {
  const uint32_t boundary = (view.doneTokens / chunkTokens + 1) * chunkTokens;
  return std::min(boundary, view.totalTokens) - view.doneTokens;
}

PlannedRow prefillRow(const std::vector<SlotView>& views, uint32_t view, uint32_t count) {
  const SlotView& one = views[view];
  return {view, one.doneTokens, count, one.doneTokens + count == one.totalTokens};
}

std::vector<uint32_t> prefillOrder(const std::vector<SlotView>& views, const SchedulerLimits& limits) {
  std::vector<uint32_t> order;
  for (uint32_t i = 0; i < views.size(); ++i) {
    if (!views[i].generating()) order.push_back(i);
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
  std::sort(rows.begin(), rows.end(),
            [&](const PlannedRow& a, const PlannedRow& b) { return views[a.view].slot < views[b.view].slot; });
  const size_t first = calls.size();
  for (const PlannedRow& row : rows) {
    bool joins = !limits.alone && calls.size() > first && calls.back().tokens() + row.count <= limits.batchTokens;
    if (joins && !limits.unified) {
      const PlannedRow& last = calls.back().rows.back();
      joins = last.count == row.count && views[last.view].slot + 1 == views[row.view].slot;
    }
    if (!joins) calls.emplace_back();
    calls.back().rows.push_back(row);
  }
}

}  // namespace

uint32_t PlannedCall::tokens() const {
  uint32_t sum = 0;
  for (const PlannedRow& row : rows) sum += row.count;
  return sum;
}

std::vector<PlannedCall> planCalls(const std::vector<SlotView>& views, const SchedulerLimits& limits) {
  std::vector<PlannedCall> calls;
  std::vector<PlannedRow> generating;
  for (uint32_t i = 0; i < views.size(); ++i) {
    if (views[i].generating()) generating.push_back({i, views[i].totalTokens, 1, true});
  }
  appendCalls(views, std::move(generating), limits, calls);

  const uint32_t budget = std::min(limits.chunkTokens, limits.batchTokens);
  uint32_t planned = 0;
  std::vector<PlannedRow> prompts;
  for (uint32_t view : prefillOrder(views, limits)) {
    const uint32_t count = nextChunk(views[view], budget);
    if (planned > 0 && planned + count > budget) continue;
    planned += count;
    prompts.push_back(prefillRow(views, view, count));
  }
  appendCalls(views, std::move(prompts), limits, calls);
  return calls;
}

std::optional<uint32_t> lowestFreeSlot(const std::vector<bool>& used) {
  for (uint32_t slot = 0; slot < used.size(); ++slot) {
    if (!used[slot]) return slot;
  }
  return std::nullopt;
}

std::optional<SlotMove> planMove(const std::vector<SlotView>& views, const SchedulerLimits& limits) {
  if (limits.unified || limits.alone || views.empty()) return std::nullopt;
  const auto highest = std::max_element(views.begin(), views.end(),
                                        [](const SlotView& a, const SlotView& b) { return a.slot < b.slot; });
  if (!highest->generating() || highest->budgetTokens < limits.minTokensToMove) return std::nullopt;
  std::vector<bool> used(highest->slot + 1, false);
  for (const SlotView& view : views) used[view.slot] = true;
  const std::optional<uint32_t> hole = lowestFreeSlot(used);
  if (!hole) return std::nullopt;
  return SlotMove{highest->slot, *hole};
}

}  // namespace llamaestro
