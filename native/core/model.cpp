#include "model.h"

#include <algorithm>
#include <cmath>

#include "assert-trap.h"
#include "devices.h"
#include "error.h"
#include "file-identity.h"
#include "log-hub.h"
#include "page-warmer.h"
#include "text-stream.h"

namespace llamaestro {
namespace {

// Far above every context: a bound for the tokenizer's own memory, not for prompts.
constexpr size_t kMaxTextBytes = size_t{64} << 20;

std::string stemOf(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  const std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  const size_t dot = name.rfind('.');
  return dot == std::string::npos || dot == 0 ? name : name.substr(0, dot);
}

struct Progress {
  const std::function<bool(double)>* onProgress;
  double from;
  bool stopped = false;
};

bool onLoadProgress(float fraction, void* data) {
  Progress* progress = static_cast<Progress*>(data);
  progress->stopped = !(*progress->onProgress)(progress->from + (1 - progress->from) * static_cast<double>(fraction));
  return !progress->stopped;
}

// Whether trying again may help: yes for want of memory and for a disk that does not read, not for what the file says.
const char* codeOf(const std::string& line) {
  const auto says = [&](const char* word) { return line.find(word) != std::string::npos; };
  if (line.empty()) return codes::kLoadFailed;
  if (AssertTrap::wrote(line)) return codes::kModelUnusable;
  if (says("allocate") || says("alloc failed") || says("bad_alloc") || says("memory")) return codes::kOutOfMemory;
  if (says("read error") || says("seek error") || says("mmap failed") || says("failed to open")) {
    return codes::kLoadFailed;
  }
  return codes::kModelUnusable;
}

[[noreturn]] void throwLoadFailure(const std::string& file, uint64_t logBefore) {
  const std::string line = lastErrorLine(logBefore);
  throw Failure(codeOf(line), file + " could not be loaded" + (line.empty() ? "" : ": " + line));
}

// Share of the model's progress that a file wholly on disk takes to be read; a file in memory takes none.
constexpr double kWarmShare = 0.7;

// What the load leaves free of the machine's memory; warming more would push out what was just read.
uint64_t bytesToWarm(const LoadPlan& plan) {
  const uint64_t free = hostFreeBytes();
  return free - std::min(free, plan.settings.mmap ? 0 : plan.memory.totalBytes);
}

std::shared_ptr<Weights> loadWeights(const LoadPlan& plan, const std::function<bool(double)>& onProgress) {
  Progress progress{&onProgress, 0};
  if (plan.settings.purpose != Purpose::Vocab) {
    const PageWarmer warmer(ggufParts(plan.settings.file, plan.file.splitCount), bytesToWarm(plan));
    const double all = static_cast<double>(std::max<uint64_t>(1, warmer.totalBytes()));
    progress.from = kWarmShare * static_cast<double>(warmer.coldBytes()) / all;
    if (!warmer.warm([&](double read) { return onProgress(progress.from * read); })) {
      throw Failure(codes::kCancelled, "the load was cancelled");
    }
  }
  const uint64_t logBefore = newestLogNumber();
  ModelParams params(plan.settings, plan.file, plan.devices, plan.gpuLayers);
  const std::string key = weightsKey(plan.identity, plan.file.fileBytes, params.params);
  params.params.progress_callback = onLoadProgress;
  params.params.progress_callback_user_data = &progress;
  ModelPtr model;
  {
    const AssertTrap trap;
    model.reset(llama_model_load_from_file(plan.settings.file.c_str(), params.params));
  }
  if (progress.stopped) throw Failure(codes::kCancelled, "the load was cancelled");
  if (!model) throwLoadFailure(plan.settings.file, logBefore);
  std::vector<LoadedAdapter> adapters;
  for (const AdapterSummary& file : plan.adapters) {
    adapters.push_back(loadAdapter(model.get(), file, [&] { return !onProgress(1); }));
  }
  // What was replaced meanwhile may be half of either; nobody else gets it.
  const bool isSame = identityOf(plan.files) == plan.identity;
  return Weights::keep(isSame ? key : std::string(), std::move(model), std::move(adapters));
}

}  // namespace

Model::Model(const LoadPlan& plan, const std::function<bool(double)>& onProgress) : weights_(plan.weights) {
  if (!weights_) weights_ = loadWeights(plan, onProgress);
  std::vector<std::string> names;
  for (const AdapterOption& adapter : plan.settings.adapters) names.push_back(adapter.name);
  adapters_ = Adapters(std::move(names), weights_->adapters());
  if (plan.settings.purpose == Purpose::Generate || plan.settings.purpose == Purpose::Vocab) {
    chat_ = std::make_unique<ChatTemplate>(raw());
  }
}

bool Model::isAbortable() const { return !llama_model_is_recurrent(raw()) && !llama_model_is_hybrid(raw()); }

bool Model::canRewind() const { return isAbortable() && llama_model_n_swa(raw()) == 0; }

// llama.cpp ends the process when it is asked for text without a vocabulary.
void Model::requireVocabulary() const {
  if (llama_vocab_type(vocab()) == LLAMA_VOCAB_TYPE_NONE) {
    throw Failure(codes::kInvalidRequest, "this model has no vocabulary: it takes token ids only", "prompt");
  }
}

std::vector<llama_token> Model::tokenizeText(const std::string& text, bool framed, bool special) const {
  requireVocabulary();
  if (text.size() > kMaxTextBytes) {
    throw Failure(codes::kInvalidRequest, "the text has more than 64 MiB", "prompt",
                  {{"bytes", static_cast<double>(text.size())}});
  }
  const auto length = static_cast<int32_t>(text.size());
  std::vector<llama_token> tokens(text.size() / 3 + 16);
  int32_t count =
      llama_tokenize(vocab(), text.data(), length, tokens.data(), static_cast<int32_t>(tokens.size()), framed, special);
  if (count == INT32_MIN) throw Failure(codes::kInvalidRequest, "the text has too many tokens", "prompt");
  if (count < 0) {
    tokens.resize(static_cast<size_t>(-count));
    count = llama_tokenize(vocab(), text.data(), length, tokens.data(), static_cast<int32_t>(tokens.size()), framed,
                           special);
  }
  if (count < 0) throw Failure(codes::kInternal, "the text could not be turned into tokens");
  tokens.resize(static_cast<size_t>(count));
  return tokens;
}

std::vector<llama_token> Model::checkTokens(const std::vector<double>& tokens) const {
  const double limit = vocabSize();
  std::vector<llama_token> checked;
  checked.reserve(tokens.size());
  for (double token : tokens) {
    if (!(token >= 0 && token < limit) || token != std::floor(token)) {
      throw Failure(codes::kInvalidRequest, "tokens must be ids from 0 to " + std::to_string(vocabSize() - 1),
                    "tokens");
    }
    checked.push_back(static_cast<llama_token>(token));
  }
  return checked;
}

std::vector<llama_token> Model::tokenize(const Prompt& prompt) const { return prepare(prompt).tokens; }

Model::Prepared Model::prepare(const Prompt& prompt) const {
  if (prompt.kind == Prompt::Kind::Tokens) return {checkTokens(prompt.tokens), nullptr};
  if (prompt.kind == Prompt::Kind::Text) return {tokenizeText(prompt.text, true, true), nullptr};
  if (!chat_) throw Failure(codes::kInvalidRequest, "this model takes no messages", "messages");
  RenderedChat chat = chat_->render(prompt);
  return {tokenizeText(chat.prompt, true, true), std::move(chat.syntax)};
}

std::string Model::pieceOf(llama_token token, bool special) const {
  if (llama_vocab_type(vocab()) == LLAMA_VOCAB_TYPE_NONE) return {};
  std::string bytes(32, '\0');
  int32_t count = llama_token_to_piece(vocab(), token, bytes.data(), static_cast<int32_t>(bytes.size()), 0, special);
  if (count < 0) {
    bytes.resize(static_cast<size_t>(-count));
    count = llama_token_to_piece(vocab(), token, bytes.data(), static_cast<int32_t>(bytes.size()), 0, special);
  }
  bytes.resize(static_cast<size_t>(std::max(count, 0)));
  return bytes;
}

std::string Model::detokenize(const std::vector<double>& tokens) const {
  requireVocabulary();
  const std::vector<llama_token> ids = checkTokens(tokens);
  if (ids.size() > kMaxTextBytes) throw Failure(codes::kInvalidRequest, "too many tokens", "tokens");
  std::string bytes(ids.size() * 8 + 16, '\0');
  const auto room = [&] { return static_cast<int32_t>(bytes.size()); };
  const auto amount = static_cast<int32_t>(ids.size());
  int32_t count = llama_detokenize(vocab(), ids.data(), amount, bytes.data(), room(), false, true);
  if (count < 0) {
    bytes.resize(static_cast<size_t>(-count));
    count = llama_detokenize(vocab(), ids.data(), amount, bytes.data(), room(), false, true);
  }
  bytes.resize(static_cast<size_t>(std::max(count, 0)));
  return cleanUtf8(bytes, nullptr);
}

void Model::describe(const LoadPlan& plan, EngineInfo& info) const {
  info.name = plan.file.name.empty() ? stemOf(plan.settings.file) : cleanUtf8(plan.file.name, nullptr);
  info.architecture = cleanUtf8(plan.file.architecture, nullptr);
  info.file = plan.settings.file;
  info.fileBytes = plan.file.fileBytes;
  info.parameterCount = plan.file.elementCount;
  info.vocabSize = vocabSize();
  info.trainedContextTokens = plan.file.contextTokens;
  info.embeddingLength = static_cast<uint32_t>(std::max(0, llama_model_n_embd_out(raw())));
  info.layers = plan.file.blockCount;
  info.hasChatTemplate = hasChatTemplate();
  info.quantisation = llama_ftype_name(llama_model_ftype(raw()));
  info.purpose = plan.settings.purposeName;
  info.adapters = adapters_.names();
}

}  // namespace llamaestro
