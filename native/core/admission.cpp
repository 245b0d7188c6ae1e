#include "admission.h"

#include <algorithm>
#include <map>

namespace llamaestro {
namespace {

// What a sequence is promised beyond what it has.
constexpr uint32_t kAllowanceTokens = 256;

uint32_t allowance(const Claim& claim, const Room& room) {
  const uint32_t fair = room.cells / (2 * std::max(1u, room.slots));
  return std::min({claim.growth, kAllowanceTokens, fair});
}

// Lowest priority first, the newest first among equals.
std::vector<size_t> orderOfGivingWay(const std::vector<Claim>& running) {
  std::vector<size_t> order(running.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return running[a].priority != running[b].priority ? running[a].priority < running[b].priority
                                                      : running[a].arrival > running[b].arrival;
  });
  return order;
}

}  // namespace

uint64_t cellsOf(const std::vector<Claim>& claims) {
  uint64_t sum = 0;
  std::map<uint64_t, uint32_t> shared;
  for (const Claim& claim : claims) {
    sum += claim.cells - claim.sharedCells;
    if (claim.sharedCells == 0) continue;
    uint32_t& most = shared[claim.group];
    most = std::max(most, claim.sharedCells);
  }
  for (const auto& [group, cells] : shared) sum += cells;
  return sum;
}

int64_t effectivePriority(int32_t priority, uint32_t waitedSteps) {
  return int64_t{priority} + waitedSteps / kStepsPerLevel;
}

std::vector<size_t> admissionOrder(const std::vector<Claim>& waiting) {
  std::vector<size_t> order(waiting.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  const auto level = [&](size_t i) { return effectivePriority(waiting[i].priority, waiting[i].waitedSteps); };
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return level(a) != level(b) ? level(a) > level(b) : waiting[a].arrival < waiting[b].arrival;
  });
  return order;
}

bool admits(const std::vector<Claim>& running, const Claim& next, const Room& room) {
  if (running.empty()) return true;
  if (running.size() >= room.slots) return false;
  if (room.cells == 0) return true;
  std::vector<Claim> all = running;
  all.push_back(next);
  uint64_t promised = cellsOf(all);
  for (const Claim& claim : all) promised += allowance(claim, room);
  return promised <= room.cells;
}

bool holds(const std::vector<Claim>& running, const Room& room) {
  return room.cells == 0 || cellsOf(running) <= room.cells;
}

std::optional<size_t> whoGivesWay(const std::vector<Claim>& running) {
  if (running.size() < 2) return std::nullopt;
  return orderOfGivingWay(running).front();
}

std::vector<size_t> whoGivesWayTo(const Claim& next, const std::vector<Claim>& running, const Room& room) {
  std::vector<size_t> leaving;
  for (size_t candidate : orderOfGivingWay(running)) {
    if (running[candidate].priority >= next.priority) break;
    leaving.push_back(candidate);
    std::vector<Claim> staying;
    for (size_t i = 0; i < running.size(); ++i) {
      if (std::find(leaving.begin(), leaving.end(), i) == leaving.end()) staying.push_back(running[i]);
    }
    if (admits(staying, next, room)) return leaving;
  }
  return {};
}

}  // namespace llamaestro
