#include "engine-wrap.h"

#include <algorithm>
#include <atomic>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "promise.h"
#include "translate-in.h"
#include "translate-out.h"

namespace llamaestro::binding {

namespace {

// Texts up to this size are tokenized at once: well under a millisecond.
constexpr size_t kInlineTextBytes = 2048;
constexpr size_t kInlineTokens = 4096;

Error laneFull() { return {codes::kQueueFull, "too many texts wait to be tokenized", "", {}}; }

Napi::Value toWords(Napi::Env env, const std::vector<uint32_t>& tokens) {
  auto array = Napi::Uint32Array::New(env, tokens.size());
  std::copy(tokens.begin(), tokens.end(), array.Data());
  return array;
}

}  // namespace

std::vector<std::string> EngineWrap::define(Napi::Env env, Environment& environment) {
  const std::vector<PropertyDescriptor> methods = {
      InstanceMethod<&EngineWrap::memory>("memory"),
      InstanceMethod<&EngineWrap::stats>("stats"),
      InstanceMethod<&EngineWrap::submit>("submit"),
      InstanceMethod<&EngineWrap::cancel>("cancel"),
      InstanceMethod<&EngineWrap::tokenize>("tokenize"),
      InstanceMethod<&EngineWrap::detokenize>("detokenize"),
      InstanceMethod<&EngineWrap::embed>("embed"),
      InstanceMethod<&EngineWrap::rerank>("rerank"),
      InstanceMethod<&EngineWrap::classify>("classify"),
      InstanceMethod<&EngineWrap::savePrefixes>("savePrefixes"),
      InstanceMethod<&EngineWrap::restorePrefixes>("restorePrefixes"),
      InstanceMethod<&EngineWrap::close>("close"),
  };
  environment.engineClass() = Napi::Persistent(DefineClass(env, "NativeHandle", methods));
  std::vector<std::string> names;
  for (const napi_property_descriptor& method : methods) names.push_back(method.utf8name);
  return names;
}

Napi::Object EngineWrap::make(Napi::Env env, Environment& environment, const std::shared_ptr<EngineSlot>& slot) {
  auto carrier = slot;
  const auto external = Napi::External<std::shared_ptr<EngineSlot>>::New(env, &carrier);
  Napi::Object object = environment.engineClass().New({external});
  object.Set("id", Napi::Number::New(env, slot->id));
  object.Set("info", toJs(env, slot->engine->info()));
  object.Set("planned", toJs(env, slot->engine->planned()));
  return object;
}

EngineWrap::EngineWrap(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<EngineWrap>(info), environment_(Environment::of(info.Env())) {
  if (info.Length() != 1 || !info[0].IsExternal()) throw Napi::TypeError::New(info.Env(), "engines come from load()");
  slot_ = *info[0].As<Napi::External<std::shared_ptr<EngineSlot>>>().Data();
}

EngineWrap::~EngineWrap() {
  if (slot_) environment_->abandon(slot_);
}

Napi::Value EngineWrap::memory(const Napi::CallbackInfo& info) { return toJs(info.Env(), slot_->engine->memory()); }

Napi::Value EngineWrap::stats(const Napi::CallbackInfo& info) { return toJs(info.Env(), slot_->engine->stats()); }

Napi::Value EngineWrap::submit(const Napi::CallbackInfo& info) {
  const SequenceRequest request = toSequenceRequest(info[0].As<Napi::Object>());
  const Result<uint32_t> result = slot_->engine->submit(request);
  if (!result.ok()) throw toThrown(info.Env(), result.error());
  // Each of its answers ends with a Finished row.
  for (double begun = 0; begun < request.choices.value_or(1); ++begun) environment_->beginWork();
  return Napi::Number::New(info.Env(), result.value());
}

void EngineWrap::cancel(const Napi::CallbackInfo& info) {
  slot_->engine->cancel(info[0].As<Napi::Number>().Uint32Value());
}

Napi::Value EngineWrap::tokenize(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto prompt = std::make_shared<Prompt>(toPrompt(info[0].As<Napi::Object>()));
  using Tokens = std::vector<uint32_t>;
  auto pending = std::make_shared<Pending<Tokens>>(env, environment_, toWords);
  const bool isShort = prompt->kind == Prompt::Kind::Text && textBytes(*prompt) <= kInlineTextBytes;
  if (isShort) {
    pending->settle(env, slot_->engine->tokenize(*prompt));
  } else if (!environment_->texts().post([pending, prompt, engine = slot_->engine] {
               Pending<Tokens>::post(pending, engine->tokenize(*prompt));
             })) {
    pending->settle(env, laneFull());
  }
  return pending->promise();
}

Napi::Value EngineWrap::detokenize(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto tokens = std::make_shared<std::vector<double>>(toDoubles(info[0]));
  auto pending = std::make_shared<Pending<std::string>>(
      env, environment_, [](Napi::Env inner, std::string& text) { return Napi::String::New(inner, text); });
  if (tokens->size() <= kInlineTokens) {
    pending->settle(env, slot_->engine->detokenize(*tokens));
  } else if (!environment_->texts().post([pending, tokens, engine = slot_->engine] {
               Pending<std::string>::post(pending, engine->detokenize(*tokens));
             })) {
    pending->settle(env, laneFull());
  }
  return pending->promise();
}

Napi::Value EngineWrap::embed(const Napi::CallbackInfo& info) {
  return startJob(info.Env(), [inputs = toStrings(info[0]), options = toEmbedOptions(info[1].As<Napi::Object>())](
                                  Engine& engine) { return engine.embed(inputs, options); });
}

Napi::Value EngineWrap::rerank(const Napi::CallbackInfo& info) {
  return startJob(info.Env(), [query = info[0].As<Napi::String>().Utf8Value(), documents = toStrings(info[1]),
                               lora = toAdapterUses(info[2].As<Napi::Object>())](Engine& engine) {
    return engine.rerank(query, documents, lora);
  });
}

Napi::Value EngineWrap::classify(const Napi::CallbackInfo& info) {
  return startJob(info.Env(), [prompt = toPrompt(info[0].As<Napi::Object>()), labels = toStrings(info[1]),
                               lora = toAdapterUses(info[2].As<Napi::Object>())](Engine& engine) {
    return engine.classify(prompt, labels, lora);
  });
}

// The start tokenizes, so it has a thread; what it starts is one more open work, which ends with the JobRow.
Napi::Value EngineWrap::startJob(Napi::Env env, JobStart start) {
  auto pending = std::make_shared<Pending<uint32_t>>(
      env, environment_, [](Napi::Env inner, uint32_t& job) { return Napi::Number::New(inner, job); });
  environment_->beginWork();
  const bool isPosted = environment_->texts().post(
      [pending, start = std::move(start), engine = slot_->engine, environment = environment_.get()] {
        Result<uint32_t> result = start(*engine);
        if (!result.ok()) environment->complete([environment](Napi::Env) { environment->endWork(); });
        Pending<uint32_t>::post(pending, std::move(result));
      });
  if (!isPosted) {
    environment_->endWork();
    pending->settle(env, laneFull());
  }
  return pending->promise();
}

Napi::Value EngineWrap::savePrefixes(const Napi::CallbackInfo& info) {
  std::optional<Prompt> prompt;
  if (info[1].IsObject()) prompt = toPrompt(info[1].As<Napi::Object>());
  return runPrefixWork(info.Env(), info[2].As<Napi::Number>().Uint32Value(),
                       [file = info[0].As<Napi::String>().Utf8Value(), prompt](Engine& engine, const CancelFlag& flag) {
                         return engine.savePrefixes(file, prompt, flag);
                       });
}

Napi::Value EngineWrap::restorePrefixes(const Napi::CallbackInfo& info) {
  return runPrefixWork(info.Env(), info[1].As<Napi::Number>().Uint32Value(),
                       [file = info[0].As<Napi::String>().Utf8Value()](Engine& engine, const CancelFlag& flag) {
                         return engine.restorePrefixes(file, flag);
                       });
}

// The disk may be slow: a thread of its own, and a ticket to stop it by.
Napi::Value EngineWrap::runPrefixWork(Napi::Env env, uint32_t ticket, PrefixWork work) {
  auto pending = std::make_shared<Pending<PrefixFileSummary>>(
      env, environment_, [](Napi::Env inner, PrefixFileSummary& summary) { return toJs(inner, summary); });
  const auto flag = std::make_shared<std::atomic<bool>>(false);
  if (!environment_->addTicket(ticket, flag)) {
    pending->settle(env, Error{codes::kQueueFull, "too many loads, plans and prefix files are under way", "", {}});
    return pending->promise();
  }
  environment_->threads().run(
      [raw = environment_.get(), pending, ticket, flag, work = std::move(work), engine = slot_->engine] {
        Result<PrefixFileSummary> result = work(*engine, flag);
        raw->removeTicket(ticket);
        Pending<PrefixFileSummary>::post(pending, std::move(result));
      });
  return pending->promise();
}

Napi::Value EngineWrap::close(const Napi::CallbackInfo& info) {
  auto pending = std::make_shared<Pending<Done>>(info.Env(), environment_,
                                                 [](Napi::Env inner, Done&) { return inner.Undefined(); });
  slot_->engine->beginClose();
  environment_->threads().run([pending, slot = slot_, environment = environment_.get()] {
    environment->closeSlot(slot);
    Pending<Done>::post(pending, Done{});
  });
  return pending->promise();
}

}  // namespace llamaestro::binding
