#include "memory-plan.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "assert-trap.h"
#include "device-ids.h"
#include "devices.h"
#include "engine.h"
#include "file-identity.h"
#include "llama-ext.h"
#include "log-hub.h"
#include "plan-cache.h"

namespace llamaestro {
namespace {

using Clock = std::chrono::steady_clock;

bool isEmpty(const DeviceMemory& one) { return one.weightsBytes + one.kvBytes + one.computeBytes == 0; }

// Bytes by device; those of adapters, which llama.cpp does not tell of, count as weights.
std::vector<DeviceMemory> devicesOf(llama_memory_breakdown breakdown, const BytesByBuffer& adapters) {
  for (const auto& [type, bytes] : adapters) breakdown[type].model += bytes;
  std::vector<DeviceMemory> devices;
  for (ggml_backend_dev_t device : gpuDevices()) devices.push_back({deviceId(device), 0, 0, 0});
  devices.push_back({"cpu", 0, 0, 0});
  for (const auto& [type, bytes] : breakdown) {
    const std::string id = ggml_backend_buft_is_host(type) ? "cpu" : deviceId(ggml_backend_buft_get_device(type));
    for (DeviceMemory& device : devices) {
      if (device.device != id) continue;
      device.weightsBytes += bytes.model;
      device.kvBytes += bytes.context;
      device.computeBytes += bytes.compute;
    }
  }
  devices.erase(std::remove_if(devices.begin(), devices.end(), isEmpty), devices.end());
  return devices;
}

uint64_t deviceBytes(const DeviceMemory& device) { return device.weightsBytes + device.kvBytes + device.computeBytes; }

// Logits rows (and embedding rows when pooled) that llama.cpp holds on the host: max(outputs, sequences) of them.
uint64_t outputBytes(const ContextShape& shape, uint64_t vocabSize, uint64_t embeddingLength) {
  const uint64_t rows = std::max(shape.outputs, shape.sequences);
  return rows * (vocabSize + (shape.pooled ? embeddingLength : 0)) * sizeof(float);
}

// From above: what llama.cpp allocates outside its buffers. Vocabulary strings, maps and merges; cell metadata; graph
// and scheduler tables (two graphs of 8 nodes per tensor); the CPU's work buffer, which grows with the batch.
uint64_t extraBytes(const LoadPlan& load, bool vocabularyOnly) {
  const GgufSummary& file = load.file;
  const ContextShape& shape = load.shape;
  constexpr uint64_t kMiB = 1 << 20;
  const uint64_t vocabulary = 6 * file.metadataBytes + uint64_t{160} * file.vocabSize + 2 * kMiB;
  if (vocabularyOnly) return vocabulary;
  const uint64_t cells = uint64_t{220} * shape.cells;
  uint64_t nodes = std::max<uint64_t>(1024, 8 * file.tensorCount);
  for (const AdapterSummary& adapter : load.adapters) nodes += 6 * adapter.pairs.size();
  const uint64_t graphs = nodes * 2600;
  const uint64_t work = uint64_t{64 << 10} * shape.batchTokens;
  return vocabulary + cells + graphs + work + 4 * kMiB;
}

void finishPlan(MemoryPlan& plan, const LoadPlan& load) {
  plan.contextTokens = load.shape.contextTokens();
  plan.contextTokensPerSlot = load.shape.tokensPerSlot;
  plan.slots = load.shape.slots;
  plan.gpuLayers = load.gpuLayers;
  plan.prefixCacheBytes = load.shape.prefixCacheBytes;
  plan.totalBytes = plan.outputBytes + plan.estimatedExtraBytes;
  for (const DeviceMemory& device : plan.devices) plan.totalBytes += deviceBytes(device);
}

[[noreturn]] void refuseModel(const LoadPlan& load, uint64_t logBefore) {
  const std::string line = lastErrorLine(logBefore);
  throw Failure(codes::kModelUnusable, load.settings.file + " cannot be loaded" + (line.empty() ? "" : ": " + line));
}

// llama.cpp simulates the graph of a whole batch and allocates for the graph of single tokens too. With several devices
// the work of a small graph may lie elsewhere (the CPU keeps what is not worth sending), and need more there.
bool addSmallGraph(const LoadPlan& load, llama_model* shapes, Simulated& simulated) {
  ContextShape small = load.shape;
  small.batchTokens = small.sequences;
  small.outputs = small.sequences;
  const ContextPtr context(llama_init_from_model(shapes, contextParams(load.settings, small, 1)));
  if (!context) return false;
  reserveAllAdapters(context.get());
  for (const DeviceMemory& needed : devicesOf(llama_get_memory_breakdown(context.get()), {})) {
    for (DeviceMemory& device : simulated.devices) {
      if (device.device == needed.device) device.computeBytes = std::max(device.computeBytes, needed.computeBytes);
    }
  }
  return true;
}

// Unpatched, llama.cpp forgets while it measures which device some operations were given to, and measures a graph with
// other copies between the devices: up to four hidden states of a batch more or fewer on each.
void coverForgottenPlaces(const LoadPlan& load, const llama_model* shapes, Simulated& simulated) {
#ifndef LLAMAESTRO_EXACT_SPLIT
  constexpr uint64_t kCopies = 4;
  const uint64_t tokens = load.shape.batchTokens + load.shape.sequences;
  const uint64_t state = tokens * static_cast<uint64_t>(llama_model_n_embd(shapes)) * sizeof(float);
  for (DeviceMemory& device : simulated.devices) {
    if (device.device != "cpu") device.computeBytes += kCopies * state;
  }
#endif
}

// One simulation of `load` with the given layers on the GPU; false when llama.cpp refuses it.
bool simulate(const LoadPlan& load, bool withVocabulary, Simulated& simulated) {
  const AssertTrap trap;
  ModelParams model(load.settings, load.file, load.devices, load.gpuLayers);
  model.simulate(load.file, withVocabulary);
  const ModelPtr shapes(llama_model_load_from_file(load.settings.file.c_str(), model.params));
  if (!shapes) return false;
  const uint64_t vocabSize = static_cast<uint64_t>(llama_vocab_n_tokens(llama_model_get_vocab(shapes.get())));
  if (!withVocabulary && vocabSize != load.file.vocabSize) return false;
  const BytesByBuffer adapters = simulateAdapters(shapes.get(), load.adapters);
  const ContextPtr context(llama_init_from_model(shapes.get(), contextParams(load.settings, load.shape, 1)));
  if (!context) return false;
  reserveAllAdapters(context.get());
  if (!load.adapters.empty()) refuseUnusedAdapters(context.get(), load.shape.pooled);
  simulated.devices = devicesOf(llama_get_memory_breakdown(context.get()), adapters);
  if (load.devices.onGpu() && load.gpuLayers > 0) {
    if (!addSmallGraph(load, shapes.get(), simulated)) return false;
    coverForgottenPlaces(load, shapes.get(), simulated);
  }
  simulated.outputBytes =
      outputBytes(load.shape, vocabSize, static_cast<uint64_t>(llama_model_n_embd_out(shapes.get())));
  return true;
}

// Fills in the bytes of `load` with its layers on the GPU, from what an equal load showed earlier where there was one.
void simulateOrRefuse(LoadPlan& load) {
  const std::string key = simulationKey(load.identity, load.settings, load.shape, load.devices, load.gpuLayers);
  Simulated simulated;
  if (const Simulated* known = findSimulated(key)) {
    simulated = *known;
  } else {
    const uint64_t logBefore = newestLogNumber();
    if (!simulate(load, false, simulated) && !simulate(load, true, simulated)) refuseModel(load, logBefore);
    // What was replaced meanwhile is not what was simulated.
    if (identityOf(load.files) == load.identity) keepSimulated(key, simulated);
  }
  load.memory.devices = simulated.devices;
  load.memory.outputBytes = simulated.outputBytes;
  load.memory.estimatedExtraBytes = extraBytes(load, false);
  finishPlan(load.memory, load);
}

// Bytes that must be free on `device` before the load. Mapped weights are page cache, which gives way.
uint64_t neededBytes(const LoadPlan& load, const DeviceMemory& device) {
  if (device.device != "cpu") return deviceBytes(device);
  const uint64_t weights = load.settings.mmap ? 0 : device.weightsBytes;
  return weights + device.kvBytes + device.computeBytes + load.memory.outputBytes + load.memory.estimatedExtraBytes;
}

uint64_t freeBytesOf(const std::vector<DeviceInfo>& devices, const std::string& id) {
  for (const DeviceInfo& device : devices) {
    if (device.id == id) return device.freeBytes;
  }
  return 0;
}

bool fitsOnGpus(const LoadPlan& load, const std::vector<DeviceInfo>& devices) {
  for (const DeviceMemory& device : load.memory.devices) {
    if (device.device != "cpu" && neededBytes(load, device) > freeBytesOf(devices, device.device)) return false;
  }
  return true;
}

// The most layers that fit, by halving: more layers never need less of a GPU.
void chooseGpuLayers(LoadPlan& load, const std::function<void()>& stopIfCancelled) {
  Result<std::vector<DeviceInfo>> devices = listDevices();
  if (!devices.ok()) throw Failure(devices.error());
  uint32_t fitting = 0;
  uint32_t tooMany = load.file.blockCount + 2;  // the output layer counts as one
  load.gpuLayers = tooMany - 1;
  for (;;) {
    stopIfCancelled();
    simulateOrRefuse(load);
    if (fitsOnGpus(load, devices.value())) {
      fitting = load.gpuLayers;
    } else {
      tooMany = load.gpuLayers;
    }
    if (tooMany - fitting <= 1) break;
    load.gpuLayers = (fitting + tooMany) / 2;
  }
  if (load.gpuLayers != fitting) {
    load.gpuLayers = fitting;
    simulateOrRefuse(load);
  }
}

// Takes a share of weights that some engine of the process holds, with as many layers on the GPU.
bool shareWeights(LoadPlan& load) {
  const ModelParams model(load.settings, load.file, load.devices, load.gpuLayers);
  load.weights = Weights::find(weightsKey(load.identity, load.file.fileBytes, model.params));
  return load.weights != nullptr;
}

// For gpuLayers 'auto': what is there already is better than what would still fit beside it.
bool shareWeightsOfAnyLayers(LoadPlan& load) {
  for (load.gpuLayers = load.file.blockCount + 1; load.gpuLayers > 0; load.gpuLayers--) {
    if (shareWeights(load)) return true;
  }
  return shareWeights(load);
}

// A move copies a whole stream once and then saves a pass over the weights each step. Eight times the break-even,
// because a sequence may end long before its budget.
uint32_t tokensThatPayForMove(const MemoryPlan& plan) {
  uint64_t weights = 1;
  uint64_t cache = 0;
  for (const DeviceMemory& device : plan.devices) {
    weights += device.weightsBytes;
    cache += device.kvBytes;
  }
  return static_cast<uint32_t>(8 + std::min<uint64_t>(8 * 2 * (cache / plan.slots) / weights, 1 << 20));
}

void checkAdapters(LoadPlan& load) {
  for (const AdapterOption& adapter : load.settings.adapters) {
    load.adapters.push_back(checkAdapter(adapter.file));
    load.files.push_back(adapter.file);
    load.identity += load.adapters.back().identity;
    const std::string& architecture = load.adapters.back().architecture;
    if (architecture == load.file.architecture) continue;
    throw Failure(codes::kModelUnusable,
                  "the adapter " + adapter.file + " is for models of architecture '" + architecture + "', not '" +
                      load.file.architecture + "'",
                  "adapters");
  }
}

bool lockWithin(LoadTurn& turn, std::chrono::milliseconds wait) {
#if defined(__SANITIZE_THREAD__)
  // It does not know how a lock is waited for by the steady clock, and would see an unlocked mutex unlocked.
  if (turn.try_lock()) return true;
  std::this_thread::sleep_for(wait);
  return false;
#else
  return turn.try_lock_for(wait);
#endif
}

}  // namespace

LoadTurn takeLoadTurn(const std::function<bool()>& cancelled) {
  static std::timed_mutex mutex;
  constexpr std::chrono::milliseconds kLookEvery(20);
  LoadTurn turn(mutex, std::defer_lock);
  while (!lockWithin(turn, kLookEvery)) {
    if (cancelled()) throw Failure(codes::kCancelled, "the load was cancelled");
  }
  return turn;
}

LoadPlan makeLoadPlan(const LoadOptions& options, const std::function<bool()>& cancelled) {
  const auto stopIfCancelled = [&] {
    if (cancelled && cancelled()) throw Failure(codes::kCancelled, "the load was cancelled");
  };
  installLogHub();
  const Clock::time_point begin = Clock::now();
  LoadPlan load;
  load.settings = resolveSettings(options);
  Result<GgufSummary> file = checkGgufOnce(load.settings.file);
  if (!file.ok()) throw Failure(file.error());
  load.file = std::move(file).value();
  load.files = ggufParts(load.settings.file, load.file.splitCount);
  load.identity = load.file.identity;
  checkAdapters(load);
  stopIfCancelled();
  if (load.file.vocabSize == 0 && load.settings.purpose == Purpose::Vocab) {
    throw Failure(codes::kModelUnusable, load.settings.file + " has no vocabulary");
  }
  if (load.file.tensorCount == 0 && load.settings.purpose != Purpose::Vocab) {
    throw Failure(codes::kModelUnusable, load.settings.file + " holds a vocabulary and no weights");
  }
  load.devices = chooseDevices(load.settings);
  const bool onGpu = load.devices.onGpu();
  refuseCacheWithoutKernel(load.settings, load.file, load.devices);
  load.shape = shapeContext(load.settings, load.file, onGpu, load.devices.kind());
  stopIfCancelled();
  if (load.settings.purpose == Purpose::Vocab) {
    load.memory.estimatedExtraBytes = extraBytes(load, true);
    finishPlan(load.memory, load);
  } else if (onGpu && !load.settings.gpuLayers && !shareWeightsOfAnyLayers(load)) {
    chooseGpuLayers(load, stopIfCancelled);
  } else {
    if (!load.weights) load.gpuLayers = onGpu ? std::min(*load.settings.gpuLayers, load.file.blockCount + 1) : 0;
    simulateOrRefuse(load);
    if (!load.weights) shareWeights(load);
  }
  load.shape.minTokensToMove = tokensThatPayForMove(load.memory);
  if (load.weights) countNoWeights(load.memory);
  load.memory.simulatedMs = std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
  return load;
}

void refuseWhatDoesNotFit(const LoadPlan& plan) {
  Result<std::vector<DeviceInfo>> devices = listDevices();
  if (!devices.ok()) throw Failure(devices.error());
  std::vector<DeviceMemory> wanted = plan.memory.devices;
  if (wanted.empty() || wanted.back().device != "cpu") wanted.push_back({"cpu", 0, 0, 0});
  for (const DeviceMemory& device : wanted) {
    const uint64_t needed = neededBytes(plan, device);
    const uint64_t available = freeBytesOf(devices.value(), device.device);
    if (needed <= available) continue;
    throw Failure(codes::kDoesNotFit,
                  plan.settings.file + " needs " + std::to_string(needed) + " bytes on " + device.device + ", and " +
                      std::to_string(available) + " are free",
                  {},
                  {{"device", device.device},
                   {"needBytes", static_cast<double>(needed)},
                   {"freeBytes", static_cast<double>(available)}});
  }
}

void countNoWeights(MemoryPlan& plan) {
  for (DeviceMemory& device : plan.devices) plan.totalBytes -= std::exchange(device.weightsBytes, 0);
  plan.devices.erase(std::remove_if(plan.devices.begin(), plan.devices.end(), isEmpty), plan.devices.end());
  plan.sharesWeights = true;
}

void countNoWeights(MemoryReport& memory) {
  for (DeviceObservation& row : memory.observed) {
    for (const DeviceMemory& device : memory.devices) {
      if (device.device == row.device) row.allocatedBytes -= device.weightsBytes;
    }
  }
  countNoWeights(static_cast<MemoryPlan&>(memory));
}

MemoryReport readMemory(const llama_context* context, const LoadPlan& plan, const MemoryWatch& watch) {
  MemoryReport memory;
  if (context != nullptr) {
    memory.devices = devicesOf(llama_get_memory_breakdown(context), adapterBytes(llama_get_model(context)));
  }
  memory.outputBytes = plan.memory.outputBytes;
  memory.estimatedExtraBytes = plan.memory.estimatedExtraBytes;
  finishPlan(memory, plan);
  memory.observed = watch.compare(plan.memory, memory);
  return memory;
}

Result<MemoryPlan> planMemory(const LoadOptions& options, CancelFlag cancel) {
  return guarded<MemoryPlan>(
      [&] {
        const auto cancelled = [&] { return cancel && cancel->load(); };
        const LoadTurn turn = takeLoadTurn(cancelled);
        return makeLoadPlan(options, cancelled).memory;
      },
      codes::kLoadFailed);
}

}  // namespace llamaestro
