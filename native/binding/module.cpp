// The addon's entry: runs once per Node environment that loads it.
#include <napi.h>

#include <string>
#include <vector>

#include "engine-wrap.h"
#include "environment.h"
#include "exit-guard.h"
#include "exports.h"

namespace llamaestro::binding {

namespace {

// What src/engine/addon-types.ts was written against.
void exportFace(Napi::Env env, Napi::Object exports, const std::vector<std::string>& engineMethods) {
  exports.Set("face", Napi::Number::New(env, kFace));
  auto names = Napi::Array::New(env, engineMethods.size());
  for (uint32_t index = 0; index < engineMethods.size(); index++) names.Set(index, engineMethods[index]);
  exports.Set("engineMethods", names);
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  guardExit();
  const auto environment = Environment::create(env);
  exportFace(env, exports, EngineWrap::define(env, *environment));
  exportDevices(env, exports);
  exportLoading(env, exports);
  exportMetadata(env, exports);
  exportLifeline(env, exports);
  exportLog(env, exports);
  return exports;
}

}  // namespace

}  // namespace llamaestro::binding

static Napi::Object initModule(Napi::Env env, Napi::Object exports) { return llamaestro::binding::init(env, exports); }

NODE_API_MODULE(llamaestro, initModule)
