// The face of the engine: what it owns, in which order it lives and dies, and the calls from outside. The thread's work
// is in decode-loop and pooled-loop.
#include "engine.h"

#include <algorithm>
#include <chrono>
#include <mutex>
#include <shared_mutex>
#include <thread>

#include "assert-trap.h"
#include "chunk-choice.h"
#include "decode-loop.h"
#include "device-choice.h"
#include "devices.h"
#include "log-hub.h"
#include "numbers.h"
#include "pooled-loop.h"
#include "prefill-probe.h"
#include "prefix-archive.h"
#include "text-stream.h"

namespace llamaestro {
namespace {

using Clock = std::chrono::steady_clock;
using Texts = std::vector<std::string>;

// Share of the progress that the weights take; the rest is the cache and the graphs.
constexpr double kModelShare = 0.95;
// The owner hears of progress in steps of a hundredth.
constexpr double kProgressGrain = 0.01;

ThreadpoolPtr makeThreadpool(uint32_t threads) {
  ggml_threadpool_params params = ggml_threadpool_params_default(static_cast<int>(threads));
  // The lowest level above none: a wake-up costs as much as half a step of a tiny model. Our patch of ggml bounds the
  // spinning in time (256 us) and unlearns it when the next graph is late; idle workers sleep.
  params.poll = 1;
  return ThreadpoolPtr(ggml_threadpool_new(&params));
}

Error closingError() { return {codes::kCancelled, "the engine is closing", {}, {}}; }

}  // namespace

class Engine::Impl {
 public:
  Impl(LoadPlan plan, const LoadHooks& hooks, const std::function<void(double)>& onProgress,
       const std::function<bool()>& cancelled);
  ~Impl() { close(); }

  using MakeSequence = std::function<std::shared_ptr<Sequence>(uint32_t id, const Model&, uint32_t tokensPerSlot)>;
  // `make` gives a sequence with all its siblings, `choices` together.
  Result<uint32_t> submit(uint32_t choices, const MakeSequence& make);
  Result<uint32_t> postJob(const std::function<std::vector<std::vector<llama_token>>(const Model&)>& inputs,
                           Purpose purpose, const EmbedOptions& options = {});
  PrefixArchive& prefixArchive() {
    if (!prefixes)
      throw Failure(codes::kInvalidRequest, "this model was loaded for purpose " + info.purpose, "purpose");
    return *prefixes;
  }
  void cancel(uint32_t id);
  void beginClose();
  void close();
  void refreshMemory();

  // Runs `body` with the model while nobody can close it.
  template <typename T, typename Body>
  Result<T> withModel(Body&& body) {
    if (signal.closing.load()) return closingError();  // without waiting for the lock of a close under way
    std::shared_lock<std::shared_mutex> lock(modelMutex);
    if (!model || signal.closing.load()) return closingError();
    return guarded<T>([&] { return body(*model); });
  }

  LoadPlan plan;
  MemoryWatch watch;
  EngineInfo info;
  EventSink sink;
  std::shared_ptr<Counters> counters = std::make_shared<Counters>();
  StopSignal signal;
  WorkList works;
  std::atomic<uint32_t> lastId{0};

  std::unique_ptr<PrefixArchive> prefixes;  // with a decodeLoop only; outlives it

  std::mutex memoryMutex;
  MemoryReport memory;  // weights included, whoever counts them
  std::shared_ptr<const std::atomic<bool>> countsWeights;

  // Members below die in reverse order: thread parts, context, pool, model.
  std::shared_mutex modelMutex;
  std::unique_ptr<Model> model;
  ThreadpoolPtr pool;
  ContextPtr context;
  std::unique_ptr<StepLock> stepLock;
  std::unique_ptr<Decoder> decoder;
  std::unique_ptr<DecodeLoop> decodeLoop;  // exactly one loop, none for purpose vocab
  std::unique_ptr<PooledLoop> pooledLoop;

  std::mutex closeMutex;
  std::thread thread;

 private:
  const Clock::time_point begin_ = Clock::now();
  void makeContext();
  void chooseChunkTokens(const std::function<bool()>& cancelled);
  void makeLoop();
  Loop* loop() const { return decodeLoop ? static_cast<Loop*>(decodeLoop.get()) : pooledLoop.get(); }
  bool takeWaitingPlaces(uint32_t count);
};

Engine::Impl::Impl(LoadPlan loadPlan, const LoadHooks& hooks, const std::function<void(double)>& onProgress,
                   const std::function<bool()>& cancelled)
    : plan(std::move(loadPlan)), watch(plan.devices), sink(hooks.wake) {
  const auto stopIfCancelled = [&] {
    if (cancelled()) throw Failure(codes::kCancelled, "the load was cancelled");
  };
  model = std::make_unique<Model>(plan, [&](double fraction) {
    onProgress(kModelShare * fraction);
    return !cancelled();
  });
  plan.weights.reset();  // the model has it
  countsWeights = model->weights().isCounted();
  stopIfCancelled();
  model->describe(plan, info);
  info.threads = plan.settings.threads.value_or(physicalCoresAllowed());
  if (plan.settings.purpose != Purpose::Vocab) {
    makeContext();
    stopIfCancelled();
    chooseChunkTokens(cancelled);
    stopIfCancelled();
    makeLoop();
  }
  memory = readMemory(context.get(), plan, watch);
  info.contextTokens = plan.shape.contextTokens();
  info.contextTokensPerSlot = plan.shape.tokensPerSlot;
  info.slots = plan.shape.slots;
  info.chunkTokens = plan.shape.chunkTokens;
  listCounters(counters);
  // Last: from here on the constructor must not throw.
  if (loop() != nullptr) thread = std::thread([this] { loop()->run(); });
}

void Engine::Impl::makeContext() {
  const uint64_t logBefore = newestLogNumber();
  {
    const AssertTrap trap;
    context.reset(llama_init_from_model(model->raw(), contextParams(plan.settings, plan.shape, info.threads)));
  }
  if (!context) {
    const std::string line = lastErrorLine(logBefore);
    const bool noMemory = line.find("allocate") != std::string::npos;
    const bool isFile = AssertTrap::wrote(line);
    throw Failure(isFile     ? codes::kModelUnusable
                  : noMemory ? codes::kOutOfMemory
                             : codes::kLoadFailed,
                  plan.settings.file + ": no context could be made" + (line.empty() ? "" : ": " + line));
  }
  if (plan.settings.purpose == Purpose::Generate &&
      (llama_get_memory(context.get()) == nullptr || llama_model_has_encoder(model->raw()))) {
    throw Failure(codes::kModelUnusable, plan.settings.file + " is not a model that generates text", "purpose");
  }
  pool = makeThreadpool(info.threads);
  if (!pool) throw Failure(codes::kOutOfMemory, "the compute threads could not be started");
  llama_attach_threadpool(context.get(), pool.get(), nullptr);
  reserveAllAdapters(context.get());  // as planned: whichever set is used later needs no more
}

// The memory was planned with the largest chunk, so that the plan holds for whichever is chosen.
void Engine::Impl::chooseChunkTokens(const std::function<bool()>& cancelled) {
  if (computesOnCpu(plan.settings, plan.file, plan.gpuLayers) && !plan.settings.stepLock.empty())
    stepLock = std::make_unique<StepLock>(plan.settings.stepLock);
  const auto measure = [&](uint32_t tokens) {
    return measurePrefill(context.get(), tokens, plan.gpuLayers == 0, stepLock.get(), cancelled);
  };
  if (plan.settings.warmUp) measure(1);
  if (plan.shape.pooled || plan.settings.chunkTokens) return;
  const double loadMs = std::chrono::duration<double, std::milli>(Clock::now() - begin_).count();
  const uint32_t most = std::min(plan.shape.chunkTokens, plan.shape.batchTokens);
  const std::optional<uint32_t> known = plan.settings.measuredChunkTokens;
  plan.shape.chunkTokens = known ? std::min(most, *known) : chooseChunk(most, chunkMeasureMs(loadMs), measure);
}

void Engine::Impl::makeLoop() {
  const bool onCpu = plan.gpuLayers == 0;
  decoder = std::make_unique<Decoder>(context.get(), llama_n_batch(context.get()), onCpu, model->isAbortable(),
                                      stepLock.get(), signal, *counters);
  plan.shape.batchTokens = llama_n_batch(context.get());
  const bool tellsLate = plan.settings.tellsLate.value_or(!computesOnCpu(plan.settings, plan.file, plan.gpuLayers));
  LoopParts parts{
      *model, context.get(), plan.shape, *decoder, sink, *counters, works, signal, info.threads, tellsLate, [this] {
        refreshMemory();
      }};
  if (plan.shape.pooled) {
    pooledLoop = std::make_unique<PooledLoop>(std::move(parts), plan.settings.purpose == Purpose::Rerank);
  } else {
    decodeLoop = std::make_unique<DecodeLoop>(std::move(parts));
    prefixes = std::make_unique<PrefixArchive>(decodeLoop->prefixes(), info, signal);
  }
}

void Engine::Impl::refreshMemory() {
  MemoryReport read = readMemory(context.get(), plan, watch);
  std::lock_guard<std::mutex> lock(memoryMutex);
  memory = std::move(read);
}

bool Engine::Impl::takeWaitingPlaces(uint32_t count) {
  uint32_t waiting = counters->waiting.load();
  do {
    if (waiting + count > kMaxWaitingSequences) return false;
  } while (!counters->waiting.compare_exchange_weak(waiting, waiting + count));
  return true;
}

Result<uint32_t> Engine::Impl::submit(uint32_t choices, const MakeSequence& make) {
  return withModel<uint32_t>([&](const Model& loaded) {
    if (!decodeLoop) {
      throw Failure(codes::kInvalidRequest, "this model was loaded for purpose " + info.purpose, "purpose");
    }
    const uint32_t firstId = lastId.fetch_add(choices) + 1;
    const std::shared_ptr<Sequence> sequence = make(firstId, loaded, plan.shape.tokensPerSlot);
    if (!takeWaitingPlaces(choices)) {
      throw Failure(codes::kQueueFull, "this model has " + std::to_string(kMaxWaitingSequences) + " requests waiting");
    }
    works.add(sequence);
    for (const std::shared_ptr<Sequence>& sibling : sequence->siblings) works.add(sibling);
    if (!decodeLoop->post(sequence)) {
      for (uint32_t i = 0; i < choices; ++i) works.remove(firstId + i);
      counters->waiting.fetch_sub(choices);
      throw Failure(closingError());
    }
    return firstId;
  });
}

Result<uint32_t> Engine::Impl::postJob(const std::function<std::vector<std::vector<llama_token>>(const Model&)>& inputs,
                                       Purpose purpose, const EmbedOptions& options) {
  return withModel<uint32_t>([&](const Model& loaded) {
    if (plan.settings.purpose != purpose) {
      throw Failure(codes::kInvalidRequest, "this model was loaded for purpose " + info.purpose, "purpose");
    }
    auto job = std::make_shared<PooledJob>(++lastId);
    job->normalises = options.normalises;
    job->dimensions = wholeNumber(options.dimensions, "dimensions", 1, info.embeddingLength);
    job->adapters = loaded.adapters().resolve(options.lora);
    job->inputs = inputs(loaded);
    if (!takeWaitingPlaces(1)) {
      throw Failure(codes::kQueueFull, "this model has " + std::to_string(kMaxWaitingSequences) + " jobs waiting");
    }
    works.add(job);
    if (!pooledLoop->post(job)) {
      works.remove(job->id);
      counters->waiting.fetch_sub(1);
      throw Failure(closingError());
    }
    return job->id;
  });
}

void Engine::Impl::cancel(uint32_t id) {
  if (!works.cancel(id)) return;
  std::shared_lock<std::shared_mutex> lock(modelMutex);
  if (!model || loop() == nullptr) return;
  signal.changes.fetch_add(1);
  if (stepLock) stepLock->wake();
  loop()->nudge();
}

void Engine::Impl::beginClose() {
  if (signal.closing.exchange(true)) return;
  std::shared_lock<std::shared_mutex> lock(modelMutex);
  if (!model || loop() == nullptr) return;
  if (stepLock) stepLock->wake();
  loop()->nudge();
}

void Engine::Impl::close() {
  beginClose();
  std::lock_guard<std::mutex> closeLock(closeMutex);
  if (thread.joinable()) thread.join();
  // Tokenizing on other threads ends first: they hold the shared side.
  std::unique_lock<std::shared_mutex> lock(modelMutex);
  decodeLoop.reset();
  pooledLoop.reset();
  decoder.reset();
  stepLock.reset();
  context.reset();
  pool.reset();
  model.reset();
  if (prefixes) prefixes->clear();
  std::lock_guard<std::mutex> memoryLock(memoryMutex);
  memory = MemoryReport();
}

Engine::Engine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Engine::~Engine() = default;

Result<std::shared_ptr<Engine>> Engine::load(const LoadOptions& options, LoadHooks hooks) {
  return guarded<std::shared_ptr<Engine>>(
      [&] {
        const Clock::time_point begin = Clock::now();
        const auto cancelled = [&] { return hooks.cancel && hooks.cancel->load(); };
        double told = -1;
        const auto onProgress = [&](double fraction) {
          if (!hooks.onProgress || (fraction < told + kProgressGrain && fraction < 1)) return;
          told = fraction;
          hooks.onProgress(fraction);
        };
        const LoadTurn turn = takeLoadTurn(cancelled);
        LoadPlan plan = makeLoadPlan(options, cancelled);
        refuseWhatDoesNotFit(plan);
        onProgress(0);
        auto impl = std::make_unique<Impl>(std::move(plan), hooks, onProgress, cancelled);
        impl->info.loadMs = std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
        onProgress(1);
        return std::shared_ptr<Engine>(new Engine(std::move(impl)));
      },
      codes::kLoadFailed);
}

const EngineInfo& Engine::info() const { return impl_->info; }
const MemoryPlan& Engine::planned() const { return impl_->plan.memory; }

MemoryReport Engine::memory() const {
  std::lock_guard<std::mutex> lock(impl_->memoryMutex);
  MemoryReport memory = impl_->memory;
  if (!memory.devices.empty() && !impl_->countsWeights->load()) countNoWeights(memory);
  return memory;
}

EngineStats Engine::stats() const {
  EngineStats stats = impl_->counters->read();
  if (impl_->prefixes) impl_->prefixes->count(stats);
  return stats;
}

Result<uint32_t> Engine::submit(const SequenceRequest& request) {
  const Result<uint32_t> choices =
      guarded<uint32_t>([&] { return wholeNumber(request.choices, "choices", 1, kMaxChoices).value_or(1); });
  if (!choices.ok()) return choices;
  return impl_->submit(choices.value(), [&](uint32_t id, const Model& model, uint32_t tokensPerSlot) {
    return makeChoices(id, choices.value(), request, model, tokensPerSlot);
  });
}

Result<uint32_t> Engine::classify(const Prompt& prompt, const Texts& labels, const AdapterUses& lora) {
  return impl_->submit(1, [&](uint32_t id, const Model& model, uint32_t tokensPerSlot) {
    return std::make_shared<Sequence>(id, prompt, labels, lora, model, tokensPerSlot);
  });
}

void Engine::cancel(uint32_t id) { impl_->cancel(id); }

Result<std::vector<uint32_t>> Engine::tokenize(const Prompt& prompt) const {
  return impl_->withModel<std::vector<uint32_t>>([&](const Model& model) {
    const std::vector<llama_token> tokens = model.tokenize(prompt);
    return std::vector<uint32_t>(tokens.begin(), tokens.end());
  });
}

Result<std::string> Engine::detokenize(const std::vector<double>& tokens) const {
  return impl_->withModel<std::string>([&](const Model& model) { return model.detokenize(tokens); });
}

Result<uint32_t> Engine::embed(const std::vector<std::string>& inputs, const EmbedOptions& options) {
  return impl_->postJob(
      [&](const Model& model) { return tokenizeInputs(model, inputs, impl_->plan.shape.tokensPerSlot); },
      Purpose::Embed, options);
}

Result<uint32_t> Engine::rerank(const std::string& query, const Texts& documents, const AdapterUses& lora) {
  return impl_->postJob(
      [&](const Model& model) { return tokenizePairs(model, query, documents, impl_->plan.shape.tokensPerSlot); },
      Purpose::Rerank, EmbedOptions{true, {}, lora});
}

Result<PrefixFileSummary> Engine::savePrefixes(const std::string& file, const std::optional<Prompt>& prompt,
                                               CancelFlag cancel) {
  std::optional<PrefixTokens> only;
  if (prompt) {
    Result<PrefixTokens> tokens =
        impl_->withModel<PrefixTokens>([&](const Model& model) { return model.tokenize(*prompt); });
    if (!tokens.ok()) return tokens.error();
    only = std::move(tokens).value();
  }
  return guarded<PrefixFileSummary>([&] { return impl_->prefixArchive().save(file, only, cancel); });
}

Result<PrefixFileSummary> Engine::restorePrefixes(const std::string& file, CancelFlag cancel) {
  return guarded<PrefixFileSummary>([&] { return impl_->prefixArchive().restore(file, cancel); });
}

EventBatch Engine::drain() { return impl_->sink.drain(); }
void Engine::beginClose() { impl_->beginClose(); }
void Engine::close() { impl_->close(); }

}  // namespace llamaestro
