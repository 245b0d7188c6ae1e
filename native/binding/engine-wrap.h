// `NativeHandle` of src/engine/addon-types.ts: the JavaScript object over one engine. It never blocks the JavaScript
// thread except for tokenizing in `submit`; a collected one only asks its environment to close the engine.
#pragma once

#include <napi.h>

#include <memory>
#include <string>
#include <vector>

#include "environment.h"

namespace llamaestro::binding {

class EngineWrap : public Napi::ObjectWrap<EngineWrap> {
 public:
  // Makes the class and leaves it with the environment; it is not reachable from JavaScript. Returns the names of its
  // methods.
  static std::vector<std::string> define(Napi::Env env, Environment& environment);
  // The object over a loaded engine.
  static Napi::Object make(Napi::Env env, Environment& environment, const std::shared_ptr<EngineSlot>& slot);

  explicit EngineWrap(const Napi::CallbackInfo& info);
  ~EngineWrap() override;

 private:
  Napi::Value memory(const Napi::CallbackInfo& info);
  Napi::Value stats(const Napi::CallbackInfo& info);
  Napi::Value submit(const Napi::CallbackInfo& info);
  void cancel(const Napi::CallbackInfo& info);
  Napi::Value tokenize(const Napi::CallbackInfo& info);
  Napi::Value detokenize(const Napi::CallbackInfo& info);
  Napi::Value embed(const Napi::CallbackInfo& info);
  Napi::Value rerank(const Napi::CallbackInfo& info);
  Napi::Value classify(const Napi::CallbackInfo& info);
  Napi::Value savePrefixes(const Napi::CallbackInfo& info);
  Napi::Value restorePrefixes(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);

  using PrefixWork = std::function<Result<PrefixFileSummary>(Engine&, const CancelFlag&)>;
  Napi::Value runPrefixWork(Napi::Env env, uint32_t ticket, PrefixWork work);

  using JobStart = std::function<Result<uint32_t>(Engine&)>;
  Napi::Value startJob(Napi::Env env, JobStart start);

  std::shared_ptr<Environment> environment_;
  std::shared_ptr<EngineSlot> slot_;
};

}  // namespace llamaestro::binding
