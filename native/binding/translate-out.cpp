#include "translate-out.h"

#include <algorithm>

namespace llamaestro::binding {

namespace {

constexpr uint32_t kRowWords = 5;  // ROW_WORDS of addon-types.ts

Napi::Value number(Napi::Env env, double value) { return Napi::Number::New(env, value); }

Napi::Value text(Napi::Env env, const std::string& value) { return Napi::String::New(env, value); }

Napi::Object toJs(Napi::Env env, const FinishedRow& row) {
  auto object = Napi::Object::New(env);
  object.Set("reason", number(env, static_cast<double>(row.reason)));
  if (row.stopString) object.Set("stopString", text(env, *row.stopString));
  object.Set("promptTokens", number(env, row.promptTokens));
  object.Set("cachedTokens", number(env, row.cachedTokens));
  object.Set("completionTokens", number(env, row.completionTokens));
  object.Set("queueMs", number(env, row.queueMs));
  object.Set("prefillMs", number(env, row.prefillMs));
  object.Set("decodeMs", number(env, row.decodeMs));
  if (row.error) object.Set("error", toJsError(env, *row.error));
  return object;
}

Napi::Object toJs(Napi::Env env, const JobRow& row) {
  auto object = Napi::Object::New(env);
  object.Set("job", number(env, row.job));
  object.Set("width", number(env, row.width));
  auto values = Napi::Float32Array::New(env, row.values.size());
  std::copy(row.values.begin(), row.values.end(), values.Data());
  object.Set("values", values);
  if (row.error) object.Set("error", toJsError(env, *row.error));
  return object;
}

Napi::Object toJs(Napi::Env env, const TokenChance& chance) {
  auto object = Napi::Object::New(env);
  object.Set("id", number(env, chance.id));
  object.Set("logprob", number(env, chance.logprob));
  auto bytes = Napi::Uint8Array::New(env, chance.bytes.size());
  std::copy(chance.bytes.begin(), chance.bytes.end(), bytes.Data());
  object.Set("bytes", bytes);
  return object;
}

Napi::Object toJs(Napi::Env env, const LogprobRow& row) {
  Napi::Object object = toJs(env, row.token);
  auto top = Napi::Array::New(env, row.top.size());
  for (uint32_t index = 0; index < row.top.size(); index++) top.Set(index, toJs(env, row.top[index]));
  object.Set("top", top);
  auto outer = Napi::Object::New(env);
  outer.Set("row", number(env, row.row));
  outer.Set("logprob", object);
  return outer;
}

Napi::Object toJs(Napi::Env env, const ToolCallDelta& delta) {
  auto object = Napi::Object::New(env);
  object.Set("index", number(env, delta.index));
  if (!delta.id.empty()) object.Set("id", text(env, delta.id));
  if (!delta.name.empty()) object.Set("name", text(env, delta.name));
  if (!delta.arguments.empty()) object.Set("arguments", text(env, delta.arguments));
  return object;
}

Napi::Object toJs(Napi::Env env, const PartsRow& row) {
  auto object = Napi::Object::New(env);
  object.Set("row", number(env, row.row));
  if (!row.reasoning.empty()) object.Set("reasoning", text(env, row.reasoning));
  if (row.toolCalls.empty()) return object;
  auto calls = Napi::Array::New(env, row.toolCalls.size());
  for (uint32_t index = 0; index < row.toolCalls.size(); index++) calls.Set(index, toJs(env, row.toolCalls[index]));
  object.Set("toolCalls", calls);
  return object;
}

template <typename Row>
Napi::Array toArray(Napi::Env env, const std::vector<Row>& rows) {
  auto array = Napi::Array::New(env, rows.size());
  for (uint32_t index = 0; index < rows.size(); index++) array.Set(index, toJs(env, rows[index]));
  return array;
}

Napi::Uint32Array toWords(Napi::Env env, const EventBatch& batch) {
  const size_t rows = batch.sequence.size();
  auto words = Napi::Uint32Array::New(env, rows * kRowWords + batch.tokenSlab.size());
  uint32_t* out = words.Data();
  uint32_t tokensBefore = 0;
  for (size_t row = 0; row < rows; row++) {
    *out++ = batch.sequence[row];
    *out++ = batch.kind[row];
    *out++ = batch.a[row];
    *out++ = batch.b[row];
    *out++ = batch.tokenEnd[row] - tokensBefore;
    tokensBefore = batch.tokenEnd[row];
  }
  std::copy(batch.tokenSlab.begin(), batch.tokenSlab.end(), out);
  return words;
}

// One string per row and not one for all: a slice of a joint string would keep the whole of it alive in JavaScript.
Napi::Array toTexts(Napi::Env env, const EventBatch& batch) {
  auto texts = Napi::Array::New(env);
  uint32_t begin = 0;
  uint32_t count = 0;
  for (size_t row = 0; row < batch.sequence.size(); row++) {
    const uint32_t end = batch.textEnd[row];
    if (batch.kind[row] == static_cast<uint8_t>(EventKind::Tokens)) {
      texts.Set(count++, Napi::String::New(env, batch.textSlab.data() + begin, end - begin));
    }
    begin = end;
  }
  return texts;
}

}  // namespace

Napi::Error toThrown(Napi::Env env, const Error& error) {
  Napi::Error thrown = Napi::Error::New(env, error.message);
  thrown.Set("code", text(env, error.code));
  if (!error.param.empty()) thrown.Set("param", text(env, error.param));
  if (error.details.empty()) return thrown;
  auto details = Napi::Object::New(env);
  for (const Detail& detail : error.details) {
    if (const auto* value = std::get_if<double>(&detail.value)) {
      details.Set(detail.name, number(env, *value));
    } else {
      details.Set(detail.name, text(env, std::get<std::string>(detail.value)));
    }
  }
  thrown.Set("details", details);
  return thrown;
}

Napi::Object toJsError(Napi::Env env, const Error& error) { return toThrown(env, error).Value(); }

Napi::Object toJs(Napi::Env env, const DeviceInfo& device) {
  auto object = Napi::Object::New(env);
  object.Set("id", text(env, device.id));
  object.Set("kind", text(env, device.kind));
  object.Set("description", text(env, device.description));
  object.Set("totalBytes", number(env, static_cast<double>(device.totalBytes)));
  object.Set("freeBytes", number(env, static_cast<double>(device.freeBytes)));
  return object;
}

Napi::Object toJs(Napi::Env env, const MemoryPlan& plan) {
  auto devices = Napi::Array::New(env, plan.devices.size());
  for (uint32_t index = 0; index < plan.devices.size(); index++) {
    const DeviceMemory& memory = plan.devices[index];
    auto device = Napi::Object::New(env);
    device.Set("device", text(env, memory.device));
    device.Set("weightsBytes", number(env, static_cast<double>(memory.weightsBytes)));
    device.Set("kvBytes", number(env, static_cast<double>(memory.kvBytes)));
    device.Set("computeBytes", number(env, static_cast<double>(memory.computeBytes)));
    devices.Set(index, device);
  }
  auto object = Napi::Object::New(env);
  object.Set("devices", devices);
  object.Set("outputBytes", number(env, static_cast<double>(plan.outputBytes)));
  object.Set("estimatedExtraBytes", number(env, static_cast<double>(plan.estimatedExtraBytes)));
  object.Set("totalBytes", number(env, static_cast<double>(plan.totalBytes)));
  object.Set("contextTokens", number(env, plan.contextTokens));
  object.Set("contextTokensPerSlot", number(env, plan.contextTokensPerSlot));
  object.Set("slots", number(env, plan.slots));
  object.Set("gpuLayers", number(env, plan.gpuLayers));
  object.Set("prefixCacheBytes", number(env, static_cast<double>(plan.prefixCacheBytes)));
  object.Set("simulatedMs", number(env, plan.simulatedMs));
  if (plan.sharesWeights) object.Set("sharedWeights", Napi::Boolean::New(env, true));
  return object;
}

Napi::Object toJs(Napi::Env env, const MemoryReport& report) {
  auto rows = Napi::Array::New(env, report.observed.size());
  for (uint32_t index = 0; index < report.observed.size(); index++) {
    const DeviceObservation& seen = report.observed[index];
    const auto observed = static_cast<double>(seen.observedBytes);
    auto row = Napi::Object::New(env);
    row.Set("device", text(env, seen.device));
    row.Set("plannedBytes", number(env, static_cast<double>(seen.plannedBytes)));
    row.Set("allocatedBytes", number(env, static_cast<double>(seen.allocatedBytes)));
    if (seen.isObserved) {
      row.Set("observedBytes", number(env, observed));
      row.Set("differenceBytes", number(env, observed - static_cast<double>(seen.plannedBytes)));
    }
    rows.Set(index, row);
  }
  Napi::Object object = toJs(env, static_cast<const MemoryPlan&>(report));
  object.Set("observed", rows);
  return object;
}

Napi::Object toJs(Napi::Env env, const EngineInfo& info) {
  auto object = Napi::Object::New(env);
  object.Set("name", text(env, info.name));
  object.Set("architecture", text(env, info.architecture));
  object.Set("file", text(env, info.file));
  object.Set("fileBytes", number(env, static_cast<double>(info.fileBytes)));
  object.Set("parameterCount", number(env, static_cast<double>(info.parameterCount)));
  object.Set("vocabSize", number(env, info.vocabSize));
  object.Set("trainedContextTokens", number(env, info.trainedContextTokens));
  object.Set("embeddingLength", number(env, info.embeddingLength));
  object.Set("layers", number(env, info.layers));
  object.Set("hasChatTemplate", Napi::Boolean::New(env, info.hasChatTemplate));
  object.Set("quantisation", text(env, info.quantisation));
  object.Set("purpose", text(env, info.purpose));
  object.Set("contextTokens", number(env, info.contextTokens));
  object.Set("contextTokensPerSlot", number(env, info.contextTokensPerSlot));
  object.Set("slots", number(env, info.slots));
  object.Set("threads", number(env, info.threads));
  object.Set("chunkTokens", number(env, info.chunkTokens));
  object.Set("loadMs", number(env, info.loadMs));
  if (info.adapters.empty()) return object;
  auto names = Napi::Array::New(env, info.adapters.size());
  for (uint32_t index = 0; index < info.adapters.size(); index++) names.Set(index, text(env, info.adapters[index]));
  object.Set("adapters", names);
  return object;
}

Napi::Object toJs(Napi::Env env, const EngineStats& stats) {
  auto object = Napi::Object::New(env);
  object.Set("steps", number(env, static_cast<double>(stats.steps)));
  object.Set("running", number(env, stats.running));
  object.Set("waiting", number(env, stats.waiting));
  object.Set("promptTokens", number(env, static_cast<double>(stats.promptTokens)));
  object.Set("generatedTokens", number(env, static_cast<double>(stats.generatedTokens)));
  object.Set("cachedTokens", number(env, static_cast<double>(stats.cachedTokens)));
  object.Set("inPlaceTokens", number(env, static_cast<double>(stats.inPlaceTokens)));
  object.Set("prefixHits", number(env, static_cast<double>(stats.prefixHits)));
  object.Set("prefixBlocks", number(env, static_cast<double>(stats.prefixBlocks)));
  object.Set("prefixBytes", number(env, static_cast<double>(stats.prefixBytes)));
  object.Set("parked", number(env, static_cast<double>(stats.parked)));
  object.Set("threads", number(env, stats.threads));
  auto cells = Napi::Object::New(env);
  cells.Set("counted", number(env, stats.cellsCounted));
  cells.Set("recounted", number(env, stats.cellsRecounted));
  cells.Set("held", number(env, stats.cellsHeld));
  object.Set("cells", cells);
  object.Set("stalledMs", number(env, stats.stalledMs));
  return object;
}

Napi::Object toJs(Napi::Env env, const PrefixFileSummary& summary) {
  auto object = Napi::Object::New(env);
  object.Set("prefixes", number(env, summary.prefixes));
  object.Set("tokens", number(env, static_cast<double>(summary.tokens)));
  object.Set("bytes", number(env, static_cast<double>(summary.bytes)));
  return object;
}

Napi::Object toJs(Napi::Env env, const LogLine& line) {
  auto object = Napi::Object::New(env);
  object.Set("number", number(env, static_cast<double>(line.number)));
  object.Set("level", number(env, line.level));
  object.Set("text", text(env, line.text));
  return object;
}

Napi::Object toJs(Napi::Env env, uint32_t engineId, const EventBatch& batch) {
  auto object = Napi::Object::New(env);
  object.Set("engine", number(env, engineId));
  object.Set("rows", number(env, static_cast<double>(batch.sequence.size())));
  object.Set("words", toWords(env, batch));
  object.Set("texts", toTexts(env, batch));
  object.Set("finished", toArray(env, batch.finished));
  object.Set("jobs", toArray(env, batch.jobs));
  object.Set("logprobs", toArray(env, batch.logprobs));
  object.Set("parts", toArray(env, batch.parts));
  return object;
}

}  // namespace llamaestro::binding
