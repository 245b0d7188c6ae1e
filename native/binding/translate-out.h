// The plain data of the core as JavaScript values, in the shapes of src/engine/addon-types.ts.
#pragma once

#include <napi.h>

#include <string>

#include "error.h"
#include "events.h"
#include "info.h"
#include "log-hub.h"

namespace llamaestro::binding {

// An Error with `code` and, where there are any, `param` and `details`.
Napi::Object toJsError(Napi::Env env, const Error& error);
// The same, to be thrown from a native method.
Napi::Error toThrown(Napi::Env env, const Error& error);

Napi::Object toJs(Napi::Env env, const DeviceInfo& device);
Napi::Object toJs(Napi::Env env, const MemoryPlan& plan);
Napi::Object toJs(Napi::Env env, const MemoryReport& report);
Napi::Object toJs(Napi::Env env, const EngineInfo& info);
Napi::Object toJs(Napi::Env env, const EngineStats& stats);
Napi::Object toJs(Napi::Env env, const PrefixFileSummary& summary);
Napi::Object toJs(Napi::Env env, const LogLine& line);
// NativeBatch.
Napi::Object toJs(Napi::Env env, uint32_t engineId, const EventBatch& batch);

}  // namespace llamaestro::binding
