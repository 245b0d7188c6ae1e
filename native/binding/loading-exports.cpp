#include <atomic>
#include <memory>
#include <utility>

#include "engine-wrap.h"
#include "environment.h"
#include "exit-guard.h"
#include "exports.h"
#include "promise.h"
#include "translate-in.h"
#include "translate-out.h"

namespace llamaestro::binding {

namespace {

std::atomic<uint32_t> lastEngineId{0};

Error tooManyLoads() { return {codes::kQueueFull, "too many loads and plans are under way", "", {}}; }

Napi::Value listen(const Napi::CallbackInfo& info) {
  Environment::of(info.Env())->listen(info[0].As<Napi::Function>());
  return info.Env().Undefined();
}

Napi::Value cancel(const Napi::CallbackInfo& info) {
  Environment::of(info.Env())->cancelTicket(info[0].As<Napi::Number>().Uint32Value());
  return info.Env().Undefined();
}

Napi::Value plan(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const LoadOptions options = toLoadOptions(info[0].As<Napi::Object>());
  const uint32_t ticket = info[1].As<Napi::Number>().Uint32Value();
  const auto environment = Environment::of(env);
  auto pending = std::make_shared<Pending<MemoryPlan>>(
      env, environment, [](Napi::Env inner, MemoryPlan& value) { return toJs(inner, value); });
  const auto flag = std::make_shared<std::atomic<bool>>(false);
  if (!environment->addTicket(ticket, flag)) {
    pending->settle(env, tooManyLoads());
    return pending->promise();
  }
  environment->threads().run([raw = environment.get(), pending, options, ticket, flag] {
    Result<MemoryPlan> result = planMemory(options, flag);
    raw->removeTicket(ticket);
    Pending<MemoryPlan>::post(pending, std::move(result));
  });
  return pending->promise();
}

using Slot = std::shared_ptr<EngineSlot>;

// Runs on a thread of its own. The hooks hold the slot weakly, since the engine inside it holds the hooks.
Result<Slot> loadSlot(Environment* environment, const LoadOptions& options, uint32_t ticket, const CancelFlag& flag) {
  const auto slot = std::make_shared<EngineSlot>();
  slot->id = ++lastEngineId;
  LoadHooks hooks;
  hooks.cancel = flag;
  hooks.onProgress = [environment, ticket](double fraction) { environment->progress(ticket, fraction); };
  hooks.wake = [environment, weak = std::weak_ptr<EngineSlot>(slot)] {
    if (const auto alive = weak.lock()) environment->wake(alive);
  };
  Result<std::shared_ptr<Engine>> loaded = Engine::load(options, std::move(hooks));
  if (!loaded.ok()) return loaded.error();
  slot->engine = std::move(loaded).value();
  return slot;
}

Napi::Value load(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const LoadOptions options = toLoadOptions(info[0].As<Napi::Object>());
  const uint32_t ticket = info[1].As<Napi::Number>().Uint32Value();
  const auto environment = Environment::of(env);
  auto pending =
      std::make_shared<Pending<Slot>>(env, environment, [raw = environment.get()](Napi::Env inner, Slot& slot) {
        raw->addSlot(slot);
        return EngineWrap::make(inner, *raw, slot);
      });
  const auto flag = std::make_shared<std::atomic<bool>>(false);
  if (!environment->addTicket(ticket, flag)) {
    pending->settle(env, tooManyLoads());
    return pending->promise();
  }
  environment->threads().run([raw = environment.get(), pending, options, ticket, flag] {
    Result<Slot> result = loadSlot(raw, options, ticket, flag);
    raw->removeTicket(ticket);
    guardExitAfterLoad();
    Pending<Slot>::post(pending, std::move(result));
  });
  return pending->promise();
}

}  // namespace

void exportLoading(Napi::Env env, Napi::Object exports) {
  exports.Set("listen", Napi::Function::New<listen>(env, "listen"));
  exports.Set("plan", Napi::Function::New<plan>(env, "plan"));
  exports.Set("load", Napi::Function::New<load>(env, "load"));
  exports.Set("cancel", Napi::Function::New<cancel>(env, "cancel"));
}

}  // namespace llamaestro::binding
