#include "devices.h"

#include <vector>

#include "exports.h"
#include "translate-out.h"

namespace llamaestro::binding {

namespace {

Napi::Value devices(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Result<std::vector<DeviceInfo>> listed = listDevices();
  if (!listed.ok()) throw toThrown(env, listed.error());
  auto array = Napi::Array::New(env, listed.value().size());
  for (uint32_t index = 0; index < listed.value().size(); index++) array.Set(index, toJs(env, listed.value()[index]));
  return array;
}

}  // namespace

void exportDevices(Napi::Env env, Napi::Object exports) {
  exports.Set("version", Napi::String::New(env, LLAMAESTRO_VERSION));
  exports.Set("build", Napi::String::New(env, buildDescription()));
  exports.Set("devices", Napi::Function::New<devices>(env, "devices"));
}

}  // namespace llamaestro::binding
