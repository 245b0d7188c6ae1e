// The tie between a model host and the process that spawned it: a native thread on one inherited file descriptor writes
// a fixed heartbeat record at a fixed beat, and ends the process with _exit when the other side is gone, even while the
// JavaScript event loop is blocked. Knows the engines of this process only by their counters.
#pragma once

#include <cstdint>
#include <memory>

#include "error.h"
#include "info.h"

namespace llamaestro {

// One record on the wire: 64 bytes, little-endian, no padding. Sums over all engines of the process; stalledMs is the
// largest. A reader finds its place again by `magic` and `bytes`.
struct HeartbeatRecord {
  uint32_t magic = 0x42484c4cu;  // "LLHB"
  uint16_t version = 1;
  uint16_t bytes = 64;
  uint64_t number = 0;       // counts records, from 0
  uint64_t monotonicMs = 0;  // CLOCK_MONOTONIC of the writer
  uint64_t steps = 0;
  uint64_t promptTokens = 0;
  uint64_t generatedTokens = 0;
  uint32_t running = 0;
  uint32_t waiting = 0;
  uint32_t stalledMs = 0;
  uint32_t engines = 0;
};
static_assert(sizeof(HeartbeatRecord) == 64, "the heartbeat record has a fixed size");

struct LifelineOptions {
  int fd = 3;                  // a pipe or socket inherited from the parent; the lifeline does not close it
  uint32_t intervalMs = 1000;  // 20 ... 60000
  int exitCode = 75;           // of _exit when the parent is gone; 0 ... 255
};

// Starts the process's one lifeline; it runs until the process ends or `stopLifeline`. A full pipe drops records and
// never blocks. Errors: invalid_request (bad fd or number, or one is running).
Result<Done> startLifeline(const LifelineOptions& options);

// Stops and joins the thread; idempotent.
void stopLifeline();

// What the next record would carry.
HeartbeatRecord currentHeartbeat();

}  // namespace llamaestro
