// Internal and pure: who of those that wait gets a slot next, whether the cells of a shared cache suffice for it, and
// who gives way when they do not. Knows neither llama.cpp nor how a sequence is put aside.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace llamaestro {

// A sequence that runs or wants to.
struct Claim {
  int32_t priority = 0;      // higher goes first
  uint64_t arrival = 0;      // order of submission
  uint32_t waitedSteps = 0;  // since it was submitted or put aside
  uint32_t cells = 0;        // for its whole prompt and what it has generated
  uint32_t growth = 0;       // tokens it may still generate
  uint64_t group = 0;        // sequences of one group hold ...
  uint32_t sharedCells = 0;  // ... this many of their cells in common; 0: all its own
};

struct Room {
  uint32_t slots = 1;
  uint32_t cells = 0;  // of the cache that all slots share; 0: every slot has cells of its own
};

// By priority, then by arrival. Whoever waits gains a level every kStepsPerLevel steps, so that nobody waits for ever.
inline constexpr uint32_t kStepsPerLevel = 64;
int64_t effectivePriority(int32_t priority, uint32_t waitedSteps);
std::vector<size_t> admissionOrder(const std::vector<Claim>& waiting);

// Whether `next` may run beside `running`. In a shared cache every sequence is promised cells for what it has and for
// its next tokens (up to 256, less where the cache is small), so that it rarely has to be put aside soon after. With
// nobody running it may always: a sequence alone never needs more cells than there are.
bool admits(const std::vector<Claim>& running, const Claim& next, const Room& room);

// Cells that all of them occupy, what a group has in common counted once.
uint64_t cellsOf(const std::vector<Claim>& claims);

// True when the next step has cells for all that run.
bool holds(const std::vector<Claim>& running, const Room& room);

// The newest of the lowest priority; nothing when fewer than two run.
std::optional<size_t> whoGivesWay(const std::vector<Claim>& running);

// Whom to put aside so that `next` may run: only sequences of a lower priority, no more than needed; empty when that
// does not help.
std::vector<size_t> whoGivesWayTo(const Claim& next, const std::vector<Claim>& running, const Room& room);

}  // namespace llamaestro
