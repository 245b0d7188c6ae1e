// Internal: what the two kinds of engine threads (generating, pooled) have in common, and what they work with.
#pragma once

#include <functional>

#include "counters.h"
#include "decoder.h"
#include "event-sink.h"
#include "load-settings.h"
#include "model.h"
#include "work.h"

namespace llamaestro {

// Everything an engine thread uses; owned by the engine, which outlives the thread.
struct LoopParts {
  const Model& model;
  llama_context* context;
  const ContextShape& shape;
  Decoder& decoder;
  EventSink& sink;
  Counters& counters;
  WorkList& works;
  const StopSignal& signal;
  uint32_t samplingThreads;      // the loop's own included
  bool tellsLate;                // the text of a step is made while the device computes the next one
  std::function<void()> onIdle;  // called by the thread whenever it has run out of work
};

class Loop {
 public:
  virtual ~Loop() = default;
  // The thread's body; returns when the signal says closing and everything has ended.
  virtual void run() = 0;
  // Any thread: something that the loop watches has changed.
  virtual void nudge() = 0;
};

}  // namespace llamaestro
