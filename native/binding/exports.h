// The functions the addon exports, one file each per concern; module.cpp puts them together.
#pragma once

#include <napi.h>

#include <cstdint>

namespace llamaestro::binding {

// FACE of src/engine/addon-types.ts: counts the incompatible shapes that crossed this border.
inline constexpr uint32_t kFace = 3;

// devices(), version, build.
void exportDevices(Napi::Env env, Napi::Object exports);
// plan(), load(), cancel(), listen().
void exportLoading(Napi::Env env, Napi::Object exports);
// startLifeline(), stopLifeline().
void exportLifeline(Napi::Env env, Napi::Object exports);
// readMetadata().
void exportMetadata(Napi::Env env, Napi::Object exports);
// recentLogLines(), logLevel(), logToStderr().
void exportLog(Napi::Env env, Napi::Object exports);

}  // namespace llamaestro::binding
