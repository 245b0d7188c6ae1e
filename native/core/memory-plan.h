// Internal: bytes per device before a load (llama.cpp's own simulation, no byte of weights or cache allocated) and
// after it (read from the buffers). The public entry is `planMemory` in engine.h. One simulation or load at a time.
#pragma once

#include <functional>
#include <mutex>

#include "adapter-check.h"
#include "device-choice.h"
#include "info.h"
#include "llama-handles.h"
#include "load-settings.h"
#include "observation.h"
#include "weights.h"

namespace llamaestro {

// Everything a load needs to know beforehand.
struct LoadPlan {
  LoadSettings settings;
  GgufSummary file;
  DeviceChoice devices;
  std::vector<std::string> files;  // all parts of the model, then the adapters
  std::string identity;            // of them when they were checked, see file-identity.h
  std::vector<AdapterSummary> adapters;
  ContextShape shape;
  MemoryPlan memory;
  uint32_t gpuLayers = 0;
  std::shared_ptr<Weights> weights;  // a share where the process holds these weights already
};

// Held from the first simulation to the end of a load: two loads at once would plan with the same free bytes. Waits for
// the others; throws Failure cancelled when `cancelled` says so meanwhile.
using LoadTurn = std::unique_lock<std::timed_mutex>;
LoadTurn takeLoadTurn(const std::function<bool()>& cancelled);

// Checks options and file and simulates; the caller holds the LoadTurn. `cancelled` is asked between steps. Throws
// Failure.
LoadPlan makeLoadPlan(const LoadOptions& options, const std::function<bool()>& cancelled);

// Throws Failure does_not_fit when a device has not enough free bytes for `plan`; details needBytes.ID, freeBytes.ID.
void refuseWhatDoesNotFit(const LoadPlan& plan);

// Takes the weights out of a plan: they are counted in the memory of another engine of this process.
void countNoWeights(MemoryPlan& plan);
void countNoWeights(MemoryReport& memory);

// What a context that exists holds: devices from its buffers, the other figures from `plan`; and what `watch` sees.
MemoryReport readMemory(const llama_context* context, const LoadPlan& plan, const MemoryWatch& watch);

}  // namespace llamaestro
