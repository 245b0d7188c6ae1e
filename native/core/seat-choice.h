// Internal and pure: which slot a newcomer gets, and which sequence moves, so that few llama_decodes compute all that
// run: one takes slots in a row and one adapter set only. Knows neither llama.cpp nor what a finished sequence left.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "scheduler.h"

namespace llamaestro {

// A slot and who has it.
struct Seat {
  bool taken = false;
  uint64_t space = 0;      // its adapter set
  bool stays = false;      // it generates, and will for a while
  uint64_t heldSince = 0;  // not taken, but a finished sequence has left something here: grows with its last use

  bool operator==(const Seat& other) const {
    return taken == other.taken && space == other.space && stays == other.stays && heldSince == other.heldSince;
  }
};

// The slot for a newcomer of `space`: where it costs no call, then where nobody has left anything, else what was used
// longest ago, then where it needs no padding. The lowest among equals, so that ids are dense; but other sets begin far
// away from each other, so that each has room to grow. Nothing when all are taken.
std::optional<uint32_t> chooseSeat(std::vector<Seat> seats, uint64_t space, const SchedulerLimits& limits);

struct SlotMove {
  uint32_t from = 0;
  uint32_t to = 0;
};

// A hole costs every step a second pass over the weights, or padding; moving a sequence costs one copy. The move that
// saves most, of those that stay; the highest one to the lowest place among equals. What was left in a slot is worth
// more than a little padding. Nothing where a call takes any slots.
std::optional<SlotMove> planMove(const std::vector<Seat>& seats, const SchedulerLimits& limits);

}  // namespace llamaestro
