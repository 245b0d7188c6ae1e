#include "translate-in.h"

namespace llamaestro::binding {

namespace {

bool isAbsent(const Napi::Value& value) { return value.IsUndefined() || value.IsNull(); }

std::string text(const Napi::Value& value) { return value.As<Napi::String>().Utf8Value(); }

std::string optionalText(const Napi::Object& object, const char* name) {
  const Napi::Value value = object.Get(name);
  return isAbsent(value) ? std::string() : text(value);
}

Number optionalNumber(const Napi::Object& object, const char* name) {
  const Napi::Value value = object.Get(name);
  return isAbsent(value) ? Number() : Number(value.As<Napi::Number>().DoubleValue());
}

bool optionalFlag(const Napi::Object& object, const char* name) {
  const Napi::Value value = object.Get(name);
  return !isAbsent(value) && value.As<Napi::Boolean>().Value();
}

std::vector<ToolCall> toToolCalls(const Napi::Value& value) {
  std::vector<ToolCall> calls;
  if (isAbsent(value)) return calls;
  const auto array = value.As<Napi::Array>();
  for (uint32_t index = 0; index < array.Length(); index++) {
    const auto call = array.Get(index).As<Napi::Object>();
    calls.push_back({text(call.Get("id")), text(call.Get("name")), text(call.Get("arguments"))});
  }
  return calls;
}

std::vector<ChatMessage> toMessages(const Napi::Value& value) {
  const auto array = value.As<Napi::Array>();
  std::vector<ChatMessage> messages;
  messages.reserve(array.Length());
  for (uint32_t index = 0; index < array.Length(); index++) {
    const auto object = array.Get(index).As<Napi::Object>();
    ChatMessage& message = messages.emplace_back(text(object.Get("role")), text(object.Get("content")));
    message.reasoning = optionalText(object, "reasoning");
    message.name = optionalText(object, "name");
    message.toolCallId = optionalText(object, "toolCallId");
    message.toolCalls = toToolCalls(object.Get("toolCalls"));
  }
  return messages;
}

std::optional<bool> optionalChoice(const Napi::Object& object, const char* name) {
  const Napi::Value value = object.Get(name);
  return isAbsent(value) ? std::nullopt : std::optional<bool>(value.As<Napi::Boolean>().Value());
}

ChatOptions toChatOptions(const Napi::Object& prompt) {
  ChatOptions chat;
  const Napi::Value tools = prompt.Get("tools");
  const auto array = isAbsent(tools) ? Napi::Array::New(prompt.Env()) : tools.As<Napi::Array>();
  for (uint32_t index = 0; index < array.Length(); index++) {
    const auto tool = array.Get(index).As<Napi::Object>();
    chat.tools.push_back({text(tool.Get("name")), optionalText(tool, "description"), optionalText(tool, "parameters")});
  }
  chat.toolChoice = optionalText(prompt, "toolChoice");
  chat.toolName = optionalText(prompt, "toolName");
  chat.parallelToolCalls = optionalChoice(prompt, "parallelToolCalls");
  const Napi::Value values = prompt.Get("templateArguments");
  const std::vector<std::string> pairs = isAbsent(values) ? std::vector<std::string>() : toStrings(values);
  for (size_t at = 0; at + 1 < pairs.size(); at += 2) chat.templateArguments.emplace_back(pairs[at], pairs[at + 1]);
  chat.thinking = optionalChoice(prompt, "thinking");
  chat.reasoningBudget = optionalNumber(prompt, "reasoningBudget");
  chat.separatesReasoning = optionalFlag(prompt, "separatesReasoning");
  return chat;
}

void addPlaces(const Napi::Object& value, LoadOptions& options) {
  const Napi::Value devices = value.Get("devices");
  if (!isAbsent(devices)) options.devices = toStrings(devices);
  options.mainDevice = optionalText(value, "mainDevice");
  options.splitMode = optionalText(value, "splitMode");
  const Napi::Value split = value.Get("tensorSplit");
  if (!isAbsent(split)) {
    const auto shares = split.As<Napi::Array>();
    for (uint32_t index = 0; index < shares.Length(); index++) {
      options.tensorSplit.push_back(shares.Get(index).As<Napi::Number>().DoubleValue());
    }
  }
  options.cpuMoeLayers = optionalNumber(value, "cpuMoeLayers");
  const Napi::Value overrides = value.Get("tensorOverrides");
  if (isAbsent(overrides)) return;
  const auto entries = overrides.As<Napi::Array>();
  for (uint32_t index = 0; index < entries.Length(); index++) {
    const auto entry = entries.Get(index).As<Napi::Object>();
    options.tensorOverrides.push_back({text(entry.Get("pattern")), text(entry.Get("device"))});
  }
}

}  // namespace

LoadOptions toLoadOptions(const Napi::Object& value) {
  LoadOptions options;
  options.file = text(value.Get("file"));
  options.purpose = text(value.Get("purpose"));
  options.contextTokens = optionalNumber(value, "contextTokens");
  options.slots = optionalNumber(value, "slots");
  options.contextTokensPerSlot = optionalNumber(value, "contextTokensPerSlot");
  // 'auto' is the default and has no number.
  if (value.Get("gpuLayers").IsNumber()) options.gpuLayers = optionalNumber(value, "gpuLayers");
  options.kvTypeK = optionalText(value, "kvTypeK");
  options.kvTypeV = optionalText(value, "kvTypeV");
  options.flashAttention = optionalText(value, "flashAttention");
  options.kvLayout = optionalText(value, "kvLayout");
  options.threads = optionalNumber(value, "threads");
  options.chunkTokens = optionalNumber(value, "chunkTokens");
  options.measuredChunkTokens = optionalNumber(value, "measuredChunkTokens");
  options.prefixCacheBytes = optionalNumber(value, "prefixCacheBytes");
  const Napi::Value reuseGenerated = value.Get("reuseGenerated");
  if (!isAbsent(reuseGenerated)) options.reuseGenerated = reuseGenerated.ToBoolean();
  options.mmap = optionalFlag(value, "mmap");
  options.stepLock = optionalText(value, "stepLock");
  options.pooling = optionalText(value, "pooling");
  options.warmUp = optionalFlag(value, "warmUp");
  addPlaces(value, options);
  const Napi::Value adapters = value.Get("adapters");
  if (isAbsent(adapters)) return options;
  const auto entries = adapters.As<Napi::Array>();
  for (uint32_t index = 0; index < entries.Length(); index++) {
    const auto entry = entries.Get(index).As<Napi::Object>();
    options.adapters.push_back({text(entry.Get("name")), text(entry.Get("file"))});
  }
  return options;
}

Prompt toPrompt(const Napi::Object& value) {
  Prompt prompt;
  const std::string kind = text(value.Get("kind"));
  if (kind == "tokens") {
    prompt.kind = Prompt::Kind::Tokens;
    prompt.tokens = toDoubles(value.Get("tokens"));
  } else if (kind == "messages") {
    prompt.kind = Prompt::Kind::Messages;
    prompt.messages = toMessages(value.Get("messages"));
    prompt.chat = toChatOptions(value);
  } else {
    prompt.kind = Prompt::Kind::Text;
    prompt.text = text(value.Get("text"));
  }
  return prompt;
}

namespace {

void addSampling(const Napi::Object& value, SequenceRequest& request) {
  request.typicalP = optionalNumber(value, "typicalP");
  request.repeatPenalty = optionalNumber(value, "repeatPenalty");
  request.repeatLastN = optionalNumber(value, "repeatLastN");
  request.frequencyPenalty = optionalNumber(value, "frequencyPenalty");
  request.presencePenalty = optionalNumber(value, "presencePenalty");
  request.dryMultiplier = optionalNumber(value, "dryMultiplier");
  request.dryBase = optionalNumber(value, "dryBase");
  request.dryAllowedLength = optionalNumber(value, "dryAllowedLength");
  request.dryPenaltyLastN = optionalNumber(value, "dryPenaltyLastN");
  const Napi::Value breakers = value.Get("drySequenceBreakers");
  if (!isAbsent(breakers)) request.drySequenceBreakers = toStrings(breakers);
  request.xtcProbability = optionalNumber(value, "xtcProbability");
  request.xtcThreshold = optionalNumber(value, "xtcThreshold");
  request.mirostat = optionalNumber(value, "mirostat");
  request.mirostatTau = optionalNumber(value, "mirostatTau");
  request.mirostatEta = optionalNumber(value, "mirostatEta");
  request.dynatempRange = optionalNumber(value, "dynatempRange");
  request.dynatempExponent = optionalNumber(value, "dynatempExponent");
  const Napi::Value biases = value.Get("logitBias");
  if (!isAbsent(biases)) request.logitBias = toDoubles(biases);
  request.logprobs = optionalNumber(value, "logprobs");
  request.grammar = optionalText(value, "grammar");
  request.jsonSchema = optionalText(value, "jsonSchema");
}

}  // namespace

SequenceRequest toSequenceRequest(const Napi::Object& value) {
  SequenceRequest request;
  request.prompt = toPrompt(value.Get("prompt").As<Napi::Object>());
  request.maxTokens = optionalNumber(value, "maxTokens");
  const Napi::Value stop = value.Get("stop");
  if (!isAbsent(stop)) request.stop = toStrings(stop);
  request.ignoreEos = optionalFlag(value, "ignoreEos");
  const Napi::Value cachePrompt = value.Get("cachePrompt");
  if (!isAbsent(cachePrompt)) request.cachePrompt = cachePrompt.ToBoolean();
  request.temperature = optionalNumber(value, "temperature");
  request.topK = optionalNumber(value, "topK");
  request.topP = optionalNumber(value, "topP");
  request.minP = optionalNumber(value, "minP");
  request.seed = optionalNumber(value, "seed");
  request.priority = optionalNumber(value, "priority");
  request.choices = optionalNumber(value, "choices");
  request.lora = toAdapterUses(value);
  addSampling(value, request);
  return request;
}

std::vector<AdapterUse> toAdapterUses(const Napi::Object& value) {
  std::vector<AdapterUse> uses;
  const Napi::Value lora = value.Get("lora");
  if (isAbsent(lora)) return uses;
  const auto entries = lora.As<Napi::Array>();
  for (uint32_t index = 0; index < entries.Length(); index++) {
    const auto entry = entries.Get(index).As<Napi::Object>();
    uses.push_back({text(entry.Get("name")), optionalNumber(entry, "scale")});
  }
  return uses;
}

EmbedOptions toEmbedOptions(const Napi::Object& value) {
  EmbedOptions options;
  options.normalises = optionalChoice(value, "normalise").value_or(true);
  options.dimensions = optionalNumber(value, "dimensions");
  options.lora = toAdapterUses(value);
  return options;
}

std::vector<std::string> toStrings(const Napi::Value& value) {
  const auto array = value.As<Napi::Array>();
  std::vector<std::string> strings;
  strings.reserve(array.Length());
  for (uint32_t index = 0; index < array.Length(); index++) strings.push_back(text(array.Get(index)));
  return strings;
}

std::vector<double> toDoubles(const Napi::Value& float64Array) {
  const auto array = float64Array.As<Napi::Float64Array>();
  return std::vector<double>(array.Data(), array.Data() + array.ElementLength());
}

size_t textBytes(const Prompt& prompt) {
  size_t bytes = prompt.text.size();
  for (const ChatMessage& message : prompt.messages) bytes += message.role.size() + message.content.size();
  return bytes;
}

}  // namespace llamaestro::binding
