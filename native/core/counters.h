// Internal: counters of one engine, written by its decode thread and read by anybody, and the process-wide list that
// the lifeline sums up. Knows no clock but the monotonic one.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "info.h"

namespace llamaestro {

struct Counters {
  std::atomic<uint64_t> steps{0};
  std::atomic<uint32_t> running{0};
  std::atomic<uint32_t> waiting{0};
  std::atomic<uint64_t> promptTokens{0};
  std::atomic<uint64_t> generatedTokens{0};
  std::atomic<uint64_t> cachedTokens{0};
  std::atomic<uint64_t> inPlaceTokens{0};
  std::atomic<uint64_t> prefixHits{0};
  std::atomic<uint64_t> parked{0};
  std::atomic<uint32_t> threads{0};      // of the newest step
  std::atomic<uint64_t> cells{0};        // what the engine counted << 32, what a recount gave
  std::atomic<uint32_t> heldCells{0};    // of those, what finished sequences have left
  std::atomic<uint64_t> busySinceMs{0};  // last finished step, last wait for a turn, or when work came; 0 when idle

  EngineStats read() const;
  // The first difference stays for ever.
  void noteCells(uint64_t counted, uint64_t recounted);
};

// CLOCK_MONOTONIC in milliseconds.
uint64_t monotonicMs();

// Adds counters to the process's list for as long as somebody else holds them.
void listCounters(const std::shared_ptr<Counters>& counters);

// Counters of all engines that live.
std::vector<std::shared_ptr<Counters>> allCounters();

}  // namespace llamaestro
