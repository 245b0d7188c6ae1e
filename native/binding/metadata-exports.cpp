#include <atomic>
#include <memory>
#include <utility>

#include "environment.h"
#include "exports.h"
#include "gguf-metadata.h"
#include "promise.h"
#include "translate-out.h"

namespace llamaestro::binding {

namespace {

Napi::Value number(Napi::Env env, uint64_t value) { return Napi::Number::New(env, static_cast<double>(value)); }

// Bytes that are no UTF-8 become U+FFFD.
Napi::Value text(Napi::Env env, const std::string& value) { return Napi::String::New(env, value); }

Napi::Value scalarToJs(Napi::Env env, const GgufValue& value) {
  if (value.type == gguf::kString) return text(env, value.text);
  if (value.type == gguf::kBool) return Napi::Boolean::New(env, value.number != 0);
  return Napi::Number::New(env, value.number);
}

Napi::Value valueToJs(Napi::Env env, const GgufValue& value) {
  if (value.type != gguf::kArray) return scalarToJs(env, value);
  auto first = Napi::Array::New(env, value.first.size());
  for (uint32_t index = 0; index < value.first.size(); index++) first.Set(index, scalarToJs(env, value.first[index]));
  auto object = Napi::Object::New(env);
  object.Set("length", number(env, value.arrayLength));
  object.Set("first", first);
  return object;
}

// A row of name and value: a name may be one that objects treat in a way of their own.
Napi::Array pair(Napi::Env env, const std::string& name, const Napi::Value& value) {
  auto row = Napi::Array::New(env, 2);
  row.Set(0u, text(env, name));
  row.Set(1u, value);
  return row;
}

Napi::Object fileToJs(Napi::Env env, const FileMetadata& file) {
  auto object = Napi::Object::New(env);
  auto files = Napi::Array::New(env, file.files.size());
  for (uint32_t index = 0; index < file.files.size(); index++) files.Set(index, text(env, file.files[index]));
  object.Set("files", files);
  object.Set("fileBytes", number(env, file.fileBytes));
  object.Set("version", number(env, file.version));
  object.Set("kind", text(env, file.kind));
  object.Set("architecture", text(env, file.architecture));
  object.Set("name", text(env, file.name));
  object.Set("license", text(env, file.license));
  object.Set("quantisation", text(env, file.quantisation));
  object.Set("chatTemplate", text(env, file.chatTemplate));
  object.Set("contextTokens", number(env, file.contextTokens));
  object.Set("vocabSize", number(env, file.vocabSize));
  object.Set("tensorCount", number(env, file.tensorCount));
  object.Set("parameterCount", number(env, file.parameterCount));
  object.Set("tensorBytes", number(env, file.tensorBytes));
  auto bytes = Napi::Array::New(env);
  for (const auto& [type, count] : file.bytesByType) bytes.Set(bytes.Length(), pair(env, type, number(env, count)));
  object.Set("bytesByType", bytes);
  auto values = Napi::Array::New(env);
  for (const auto& [key, value] : file.values) values.Set(values.Length(), pair(env, key, valueToJs(env, value)));
  object.Set("values", values);
  return object;
}

// The disk may be slow: a thread of its own, and a ticket to stop it by.
Napi::Value readMetadata(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::string path = info[0].As<Napi::String>().Utf8Value();
  const uint32_t ticket = info[1].As<Napi::Number>().Uint32Value();
  const auto environment = Environment::of(env);
  auto pending = std::make_shared<Pending<FileMetadata>>(
      env, environment, [](Napi::Env inner, FileMetadata& file) { return fileToJs(inner, file); });
  const auto flag = std::make_shared<std::atomic<bool>>(false);
  if (!environment->addTicket(ticket, flag, Environment::kMaxLoads + Environment::kMaxReads)) {
    pending->settle(env, Error{codes::kQueueFull, "too many loads, plans and files are under way", "", {}});
    return pending->promise();
  }
  environment->threads().run([raw = environment.get(), pending, path, ticket, flag] {
    Result<FileMetadata> result = readFileMetadata(path, flag);
    raw->removeTicket(ticket);
    Pending<FileMetadata>::post(pending, std::move(result));
  });
  return pending->promise();
}

}  // namespace

void exportMetadata(Napi::Env env, Napi::Object exports) {
  exports.Set("readMetadata", Napi::Function::New<readMetadata>(env, "readMetadata"));
}

}  // namespace llamaestro::binding
