// The addon's entry: runs once per Node environment that loads it.
#include <napi.h>

#include "engine-wrap.h"
#include "environment.h"
#include "exit-guard.h"
#include "exports.h"

namespace llamaestro::binding {

namespace {

Napi::Object init(Napi::Env env, Napi::Object exports) {
  guardExit();
  const auto environment = Environment::create(env);
  EngineWrap::define(env, *environment);
  exportDevices(env, exports);
  exportLoading(env, exports);
  exportLifeline(env, exports);
  exportLog(env, exports);
  return exports;
}

}  // namespace

}  // namespace llamaestro::binding

static Napi::Object initModule(Napi::Env env, Napi::Object exports) { return llamaestro::binding::init(env, exports); }

NODE_API_MODULE(llamaestro, initModule)
