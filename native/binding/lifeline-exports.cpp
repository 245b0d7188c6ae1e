#include "lifeline.h"

#include "exports.h"
#include "translate-out.h"

namespace llamaestro::binding {

namespace {

// Numbers outside of int become -1, which the core refuses by name.
int toInt(const Napi::Value& value) {
  if (!value.IsNumber()) return -1;
  const double number = value.As<Napi::Number>().DoubleValue();
  const bool isInt = number >= 0 && number <= 1e9 && number == static_cast<double>(static_cast<int>(number));
  return isInt ? static_cast<int>(number) : -1;
}

Napi::Value start(const Napi::CallbackInfo& info) {
  const auto given = info[0].As<Napi::Object>();
  LifelineOptions options;
  options.fd = toInt(given.Get("fd"));
  options.intervalMs = static_cast<uint32_t>(toInt(given.Get("intervalMs")));
  options.exitCode = toInt(given.Get("exitCode"));
  const Result<Done> started = startLifeline(options);
  if (!started.ok()) throw toThrown(info.Env(), started.error());
  return info.Env().Undefined();
}

Napi::Value stop(const Napi::CallbackInfo& info) {
  stopLifeline();
  return info.Env().Undefined();
}

}  // namespace

void exportLifeline(Napi::Env env, Napi::Object exports) {
  exports.Set("startLifeline", Napi::Function::New<start>(env, "startLifeline"));
  exports.Set("stopLifeline", Napi::Function::New<stop>(env, "stopLifeline"));
}

}  // namespace llamaestro::binding
