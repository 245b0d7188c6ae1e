#include "log-hub.h"

#include <vector>

#include "environment.h"
#include "exports.h"
#include "translate-out.h"

namespace llamaestro::binding {

namespace {

Napi::Value recentLines(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const int64_t after = info[0].As<Napi::Number>().Int64Value();
  const std::vector<LogLine> lines = recentLogLines(after < 0 ? 0 : static_cast<uint64_t>(after));
  auto array = Napi::Array::New(env, lines.size());
  for (uint32_t index = 0; index < lines.size(); index++) array.Set(index, toJs(env, lines[index]));
  return array;
}

Napi::Value setLevel(const Napi::CallbackInfo& info) {
  Environment::of(info.Env())->setLogLevel(info[0].As<Napi::Number>().Int32Value());
  return info.Env().Undefined();
}

Napi::Value toStderr(const Napi::CallbackInfo& info) {
  setLogToStderr(info[0].As<Napi::Number>().Int32Value());
  return info.Env().Undefined();
}

}  // namespace

void exportLog(Napi::Env env, Napi::Object exports) {
  exports.Set("recentLogLines", Napi::Function::New<recentLines>(env, "recentLogLines"));
  exports.Set("logLevel", Napi::Function::New<setLevel>(env, "logLevel"));
  exports.Set("logToStderr", Napi::Function::New<toStderr>(env, "logToStderr"));
}

}  // namespace llamaestro::binding
