#include "environment.h"

#include <algorithm>
#include <condition_variable>
#include <thread>
#include <utility>

#include "translate-out.h"

namespace llamaestro::binding {

namespace {

using Holder = std::shared_ptr<Environment>;

// Never destroyed: the exit handler reads it after static destructors may have begun.
struct Registry {
  std::mutex mutex;
  std::vector<std::weak_ptr<Environment>> environments;
  // What must not be released any more, see shutdownAll.
  std::vector<std::shared_ptr<Environment>> kept;
};

Registry& registry() {
  static auto* instance = new Registry();
  return *instance;
}

// Before exit() starts to run static destructors: those of statics made by a load that is still under way would come
// before any handler of ours. Covers process.exit() and uncaught exceptions, for which Node runs no cleanup hooks.
void shutDownOnExitEvent(Napi::Env env, const std::shared_ptr<Environment>& environment) {
  const auto process = env.Global().Get("process").As<Napi::Object>();
  const auto listener =
      Napi::Function::New(env, [weak = std::weak_ptr<Environment>(environment)](const Napi::CallbackInfo&) {
        if (const auto alive = weak.lock()) alive->shutdown();
      });
  process.Get("once").As<Napi::Function>().Call(process, {Napi::String::New(env, "exit"), listener});
}

}  // namespace

std::shared_ptr<Environment> Environment::create(Napi::Env env) {
  auto self = std::make_shared<Environment>();
  const auto name = Napi::String::New(env, "llamaestro");
  const napi_status status = napi_create_threadsafe_function(env, nullptr, nullptr, name, 1, 1, nullptr, nullptr,
                                                             self.get(), &Environment::onDelivery, &self->door_);
  if (status != napi_ok) throw Napi::Error::New(env, "the door into JavaScript cannot be made");
  napi_unref_threadsafe_function(env, self->door_);
  env.SetInstanceData<Holder>(new Holder(self));
  // After the door on purpose: hooks run newest first, so the threads end while the door still stands.
  napi_add_env_cleanup_hook(env, &Environment::onCleanup, self.get());
  shutDownOnExitEvent(env, self);
  std::lock_guard<std::mutex> lock(registry().mutex);
  auto& all = registry().environments;
  all.erase(std::remove_if(all.begin(), all.end(), [](const auto& other) { return other.expired(); }), all.end());
  all.push_back(self);
  return self;
}

std::shared_ptr<Environment> Environment::of(Napi::Env env) { return *env.GetInstanceData<Holder>(); }

bool Environment::shutdownAll() {
  std::vector<std::shared_ptr<Environment>> alive;
  {
    std::lock_guard<std::mutex> lock(registry().mutex);
    for (const auto& other : registry().environments) {
      if (auto environment = other.lock()) alive.push_back(std::move(environment));
    }
  }
  bool inTime = true;
  for (const auto& environment : alive) inTime = environment->shutdown() && inTime;
  // The references must not be released outside their environment: keep them, the process ends.
  std::lock_guard<std::mutex> lock(registry().mutex);
  auto& kept = registry().kept;
  kept.insert(kept.end(), alive.begin(), alive.end());
  return inTime;
}

void Environment::listen(Napi::Function listener) { listener_ = Napi::Persistent(listener); }

void Environment::beginWork() {
  if (openWorks_++ == 0 && door_ != nullptr) napi_ref_threadsafe_function(engineClass_.Env(), door_);
}

void Environment::endWork() {
  if (openWorks_ == 0) return;
  if (--openWorks_ == 0 && door_ != nullptr) napi_unref_threadsafe_function(engineClass_.Env(), door_);
}

void Environment::addSlot(const std::shared_ptr<EngineSlot>& slot) {
  std::lock_guard<std::mutex> lock(mutex_);
  slots_.push_back(slot);
}

void Environment::abandon(const std::shared_ptr<EngineSlot>& slot) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (isOver_ || std::find(slots_.begin(), slots_.end(), slot) == slots_.end()) return;
  }
  slot->engine->beginClose();
  threads_.run([this, slot] { closeSlot(slot); });
}

bool Environment::addTicket(uint32_t ticket, const CancelFlag& flag, size_t most) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (isOver_ || tickets_.size() >= most) return false;
  return tickets_.emplace(ticket, flag).second;
}

void Environment::cancelTicket(uint32_t ticket) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto found = tickets_.find(ticket);
  if (found != tickets_.end()) found->second->store(true);
}

void Environment::removeTicket(uint32_t ticket) {
  std::lock_guard<std::mutex> lock(mutex_);
  tickets_.erase(ticket);
}

void Environment::setLogLevel(int level) {
  removeLogListener(std::exchange(logListener_, 0));
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (isOver_) return;
  }
  // The listener goes before the environment does: its end removes it.
  if (level > 0) logListener_ = addLogListener(level, [this](const LogLine& line) { addLogLine(line); });
}

void Environment::addLogLine(const LogLine& line) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (isOver_) return;
  if (logLines_.size() >= kMaxLogLines) {
    droppedLogLines_ += 1;
    return;
  }
  logLines_.push_back(line);
  ring();
}

void Environment::complete(Completion completion) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (isOver_) return;
  completions_.push_back(std::move(completion));
  ring();
}

void Environment::wake(const std::shared_ptr<EngineSlot>& slot) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (isOver_) return;
  ready_.push_back(slot);
  ring();
}

void Environment::progress(uint32_t ticket, double fraction) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (isOver_) return;
  const auto known = std::find_if(progress_.begin(), progress_.end(),
                                  [ticket](const Progress& other) { return other.ticket == ticket; });
  if (known != progress_.end()) {
    known->fraction = fraction;
  } else {
    progress_.push_back({ticket, fraction});
  }
  ring();
}

void Environment::closeSlot(const std::shared_ptr<EngineSlot>& slot) {
  slot->engine->close();
  std::lock_guard<std::mutex> lock(mutex_);
  slots_.erase(std::remove(slots_.begin(), slots_.end(), slot), slots_.end());
}

// Holds the lock. One call is under way at a time, so the queue of one is never full.
void Environment::ring() {
  if (isPending_) return;
  isPending_ = napi_call_threadsafe_function(door_, nullptr, napi_tsfn_nonblocking) == napi_ok;
}

void Environment::onDelivery(napi_env env, napi_value, void* context, void*) {
  if (env == nullptr) return;
  try {
    static_cast<Environment*>(context)->deliver(Napi::Env(env));
  } catch (const Napi::Error& thrown) {
    thrown.ThrowAsJavaScriptException();
  }
}

void Environment::deliver(Napi::Env env) {
  const auto keepAlive = shared_from_this();
  const Napi::HandleScope scope(env);
  std::vector<std::shared_ptr<EngineSlot>> ready;
  std::vector<Progress> progress;
  std::vector<Completion> completions;
  std::vector<LogLine> logLines;
  uint64_t droppedLines = 0;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    isPending_ = false;
    if (isOver_) return;
    ready.swap(ready_);
    progress.swap(progress_);
    completions.swap(completions_);
    logLines.swap(logLines_);
    droppedLines = droppedLogLines_;
  }
  Napi::Error thrown;
  if (!listener_.IsEmpty() && (!ready.empty() || !progress.empty() || !logLines.empty())) {
    auto steps = Napi::Array::New(env, progress.size());
    for (uint32_t index = 0; index < progress.size(); index++) {
      auto step = Napi::Object::New(env);
      step.Set("ticket", Napi::Number::New(env, progress[index].ticket));
      step.Set("fraction", Napi::Number::New(env, progress[index].fraction));
      steps.Set(index, step);
    }
    try {
      listener_.Call({takeBatches(env, ready), steps, takeLog(env, logLines, droppedLines)});
    } catch (const Napi::Error& error) {
      thrown = error;  // the promises below settle all the same
    }
  }
  for (const Completion& completion : completions) completion(env);
  if (!thrown.IsEmpty()) throw thrown;
}

Napi::Array Environment::takeBatches(Napi::Env env, const std::vector<std::shared_ptr<EngineSlot>>& ready) {
  auto batches = Napi::Array::New(env);
  uint32_t count = 0;
  for (const auto& slot : ready) {
    const EventBatch batch = slot->engine->drain();
    if (batch.empty()) continue;
    batches.Set(count++, toJs(env, slot->id, batch));
    for (size_t ended = batch.finished.size() + batch.jobs.size(); ended > 0; ended--) endWork();
  }
  return batches;
}

Napi::Value Environment::takeLog(Napi::Env env, std::vector<LogLine>& lines, uint64_t dropped) {
  if (lines.empty()) return env.Undefined();
  auto array = Napi::Array::New(env, lines.size());
  for (uint32_t index = 0; index < lines.size(); index++) array.Set(index, toJs(env, lines[index]));
  auto log = Napi::Object::New(env);
  log.Set("lines", array);
  log.Set("dropped", Napi::Number::New(env, static_cast<double>(dropped)));
  return log;
}

void Environment::onCleanup(void* context) {
  const auto self = static_cast<Environment*>(context)->shared_from_this();
  const bool inTime = self->shutdown();
  self->listener_.Reset();
  self->engineClass_.Reset();
  napi_release_threadsafe_function(self->door_, napi_tsfn_abort);
  self->door_ = nullptr;
  if (inTime) return;
  // Threads that still run may use this object at any time.
  std::lock_guard<std::mutex> lock(registry().mutex);
  registry().kept.push_back(self);
}

bool Environment::shutdown() {
  std::vector<std::shared_ptr<EngineSlot>> slots;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (isOver_) return !hasStragglers_;
    isOver_ = true;
    for (const auto& [ticket, flag] : tickets_) flag->store(true);
    slots = slots_;
  }
  removeLogListener(std::exchange(logListener_, 0));
  // Without the lock: an engine that ends wakes us.
  for (const auto& slot : slots) slot->engine->beginClose();
  struct Ending {
    std::mutex mutex;
    std::condition_variable changed;
    bool isDone = false;
  };
  const auto ending = std::make_shared<Ending>();
  std::thread closer([self = shared_from_this(), ending] {
    self->endEverything();
    std::lock_guard<std::mutex> lock(ending->mutex);
    ending->isDone = true;
    ending->changed.notify_all();
  });
  std::unique_lock<std::mutex> lock(ending->mutex);
  const bool inTime =
      ending->changed.wait_for(lock, std::chrono::milliseconds(kShutdownMs), [&ending] { return ending->isDone; });
  lock.unlock();
  if (inTime) {
    closer.join();
  } else {
    closer.detach();
    std::lock_guard<std::mutex> stateLock(mutex_);
    hasStragglers_ = true;
  }
  return inTime;
}

void Environment::endEverything() {
  texts_.stop();
  threads_.join();
  std::vector<std::shared_ptr<EngineSlot>> slots;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    slots.swap(slots_);
    ready_.clear();
    completions_.clear();
  }
  for (const auto& slot : slots) slot->engine->close();
}

}  // namespace llamaestro::binding
