#include "seat-choice.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace llamaestro {
namespace {

struct Cost {
  uint32_t sets = 0;
  uint32_t calls = 0;
  uint32_t padding = 0;
};

// How those that stay would be computed, were it for slots alone.
Cost costOf(const std::vector<Seat>& seats, const SchedulerLimits& limits) {
  struct Last {
    uint64_t space = 0;
    uint32_t gap = 0;          // slots that nobody has, since the last one of this set
    bool interrupted = false;  // by another set
  };
  Cost cost;
  std::vector<Last> lasts;
  for (const Seat& seat : seats) {
    if (!seat.taken) {
      for (Last& last : lasts) ++last.gap;
      continue;
    }
    Last* own = nullptr;
    for (Last& last : lasts) {
      if (last.space == seat.space) own = &last;
      last.interrupted = last.interrupted || last.space != seat.space;
    }
    // One of the same set that computes its prompt, or ends soon, is no hole for long.
    if (!seat.stays) continue;
    if (own == nullptr) {
      lasts.push_back({seat.space, 0, false});
      ++cost.sets;
      ++cost.calls;
    } else {
      const bool joins = !own->interrupted && own->gap <= limits.mostPadding;
      if (joins) cost.padding += own->gap;
      if (!joins) ++cost.calls;
      *own = {seat.space, 0, false};
    }
  }
  return cost;
}

uint32_t distanceToOthers(const std::vector<Seat>& seats, uint32_t slot, uint64_t space) {
  auto nearest = static_cast<uint32_t>(seats.size());
  for (uint32_t other = 0; other < seats.size(); ++other) {
    if (!seats[other].taken || seats[other].space == space) continue;
    nearest = std::min(nearest, other > slot ? other - slot : slot - other);
  }
  return nearest;
}

bool isStaying(const std::vector<Seat>& seats, int64_t slot, uint64_t space) {
  if (slot < 0 || slot >= static_cast<int64_t>(seats.size())) return false;
  const Seat& seat = seats[static_cast<size_t>(slot)];
  return seat.taken && seat.stays && seat.space == space;
}

// One with at most one neighbour of its set beside it: others would leave a hole.
bool endsARun(const std::vector<Seat>& seats, uint32_t slot) {
  const uint64_t space = seats[slot].space;
  const bool between = isStaying(seats, int64_t{slot} - 1, space) && isStaying(seats, int64_t{slot} + 1, space);
  return seats[slot].taken && seats[slot].stays && !between;
}

// Free, and beside one of the same set.
bool isGoal(const std::vector<Seat>& seats, uint32_t slot, uint64_t space) {
  const bool joins = isStaying(seats, int64_t{slot} - 1, space) || isStaying(seats, int64_t{slot} + 1, space);
  return !seats[slot].taken && joins;
}

}  // namespace

std::optional<uint32_t> chooseSeat(std::vector<Seat> seats, uint64_t space, const SchedulerLimits& limits) {
  const bool anyCall = limits.unified || limits.alone;
  for (Seat& seat : seats) seat.stays = seat.taken;
  using Rank = std::tuple<uint32_t, uint64_t, uint32_t, uint32_t>;
  std::optional<uint32_t> best;
  Rank bestRank;
  for (uint32_t slot = 0; slot < seats.size(); ++slot) {
    if (seats[slot].taken) continue;
    const Seat before = seats[slot];
    Rank rank(0, before.heldSince, 0, 0);
    if (!anyCall) {
      seats[slot] = {true, space, true, 0};
      const Cost cost = costOf(seats, limits);
      seats[slot] = before;
      rank = {cost.calls, before.heldSince, cost.padding, UINT32_MAX - distanceToOthers(seats, slot, space)};
    }
    if (best && bestRank <= rank) continue;
    best = slot;
    bestRank = rank;
  }
  return best;
}

std::optional<SlotMove> planMove(const std::vector<Seat>& seats, const SchedulerLimits& limits) {
  if (limits.unified || limits.alone) return std::nullopt;
  const Cost now = costOf(seats, limits);
  if (now.calls == now.sets && now.padding == 0) return std::nullopt;
  const auto weight = [&](const Cost& cost) { return cost.calls * (limits.mostPadding + 1) + cost.padding; };
  std::optional<SlotMove> best;
  std::pair<uint32_t, bool> bestRank(weight(now), true);
  const auto slots = static_cast<uint32_t>(seats.size());
  for (uint32_t from = slots; from-- > 0;) {
    if (!endsARun(seats, from)) continue;
    std::vector<Seat> without = seats;
    const Seat mover = std::exchange(without[from], Seat{});
    for (uint32_t to = 0; to < slots; ++to) {
      if (to == from || !isGoal(without, to, mover.space)) continue;
      std::vector<Seat> after = without;
      after[to] = mover;
      const Cost cost = costOf(after, limits);
      const bool displaces = seats[to].heldSince > 0;
      if (displaces && cost.calls == now.calls && now.padding <= limits.mostPadding) continue;
      const std::pair<uint32_t, bool> rank(weight(cost), displaces);
      if (rank.first >= weight(now) || rank >= bestRank) continue;
      best = SlotMove{from, to};
      bestRank = rank;
    }
  }
  return best;
}

}  // namespace llamaestro
