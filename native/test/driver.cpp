#include "driver.h"

#include <cmath>
#include <cstdlib>

#include "harness.h"

namespace tests {

using namespace llamaestro;

namespace {

#if defined(__SANITIZE_THREAD__)
constexpr std::chrono::minutes kPatience(10);  // some of what takes a second takes minutes there
#else
constexpr std::chrono::minutes kPatience(1);
#endif

}  // namespace

LoadOptions loadOptions(const std::string& model, const std::string& purpose) {
  LoadOptions options;
  options.file = modelPath(model);
  options.purpose = purpose;
  options.threads = 1;  // two threads crawl on a machine where anything else runs
  if (getenv("LLAMAESTRO_TEST_LATE_TEXT") != nullptr) options.tellsLate = true;
  return options;
}

SequenceRequest textRequest(const std::string& text, double maxTokens) {
  SequenceRequest request;
  request.prompt.kind = Prompt::Kind::Text;
  request.prompt.text = text;
  request.maxTokens = maxTokens;
  request.temperature = 0;
  return request;
}

SequenceRequest tokensRequest(const std::vector<double>& tokens, double maxTokens, uint32_t alternatives) {
  SequenceRequest request;
  request.prompt.kind = Prompt::Kind::Tokens;
  request.prompt.tokens = tokens;
  request.maxTokens = maxTokens;
  request.temperature = 0;
  request.ignoreEos = true;
  request.logprobs = alternatives;
  return request;
}

std::vector<double> noise(uint32_t count, uint32_t salt) {
  std::vector<double> tokens;
  for (uint32_t i = 0; i < count; ++i) tokens.push_back(5 + (i * 7 + i / 13 * 3 + salt * 31) % 100);
  return tokens;
}

Driver::Driver(const LoadOptions& options) {
  LoadHooks hooks;
  hooks.wake = [this] {
    std::lock_guard<std::mutex> lock(mutex_);
    awake_ = true;
    woken_.notify_all();
  };
  Result<std::shared_ptr<Engine>> loaded = Engine::load(options, hooks);
  if (!loaded.ok()) throw CheckFailed("load: " + loaded.error().code + ": " + loaded.error().message);
  engine_ = std::move(loaded).value();
}

Driver::~Driver() {
  engine_->close();
  const EngineStats stats = engine_->stats();
  if (stats.cellsCounted == stats.cellsRecounted) return;
  tests::failLater(std::to_string(stats.cellsCounted) + " cells were counted, a recount gave " +
                   std::to_string(stats.cellsRecounted));
}

uint32_t Driver::submit(const SequenceRequest& request) {
  Result<uint32_t> id = engine_->submit(request);
  if (!id.ok()) throw CheckFailed("submit: " + id.error().code + ": " + id.error().message);
  return id.value();
}

void Driver::drain() {
  EventBatch batch = engine_->drain();
  for (size_t i = 0; i < batch.sequence.size(); ++i) {
    Heard& one = heard_[batch.sequence[i]];
    const uint32_t tokensFrom = i == 0 ? 0 : batch.tokenEnd[i - 1];
    const uint32_t textFrom = i == 0 ? 0 : batch.textEnd[i - 1];
    const std::string text = batch.textSlab.substr(textFrom, batch.textEnd[i] - textFrom);
    switch (static_cast<EventKind>(batch.kind[i])) {
      case EventKind::Started:
        one.order.push_back("started");
        one.promptTokens = batch.a[i];
        one.cachedTokens = batch.b[i];
        break;
      case EventKind::Prefill:
        one.order.push_back("prefill");
        one.prefilled = batch.a[i];
        break;
      case EventKind::Tokens:
        one.order.push_back("tokens");
        if (batch.a[i] != one.ids.size()) throw CheckFailed("a token index has a gap");
        one.ids.insert(one.ids.end(), batch.tokenSlab.begin() + tokensFrom,
                       batch.tokenSlab.begin() + batch.tokenEnd[i]);
        one.text += text;
        break;
      case EventKind::Finished:
        one.order.push_back("finished");
        one.finished = true;
        one.end = batch.finished[batch.a[i]];
        break;
    }
  }
  for (LogprobRow& row : batch.logprobs) heard_[batch.sequence[row.row]].logprobs.push_back(std::move(row));
  for (const PartsRow& row : batch.parts) {
    Heard& one = heard_[batch.sequence[row.row]];
    one.reasoning += row.reasoning;
    for (const ToolCallDelta& delta : row.toolCalls) {
      if (delta.index == one.toolCalls.size()) {
        if (delta.name.empty()) throw CheckFailed("a tool call begins without its name");
        one.toolCalls.emplace_back();
      }
      ToolCallDelta& call = one.toolCalls.at(delta.index);
      call.id += delta.id;
      call.name += delta.name;
      call.arguments += delta.arguments;
      ++one.toolPieces;
    }
  }
  for (JobRow& job : batch.jobs) jobs_[job.job] = std::move(job);
}

void Driver::waitUntil(const std::function<bool()>& done) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  for (;;) {
    drain();
    if (done()) return;
    std::unique_lock<std::mutex> lock(mutex_);
    if (!woken_.wait_until(lock, deadline, [this] { return awake_; }))
      throw CheckFailed("nothing happened for " + std::to_string(kPatience.count()) + " minutes");
    awake_ = false;
  }
}

const Heard& Driver::waitFinished(uint32_t id) {
  waitUntil([&] { return heard_[id].finished; });
  return heard_[id];
}

JobRow Driver::waitJob(uint32_t id) {
  waitUntil([&] { return jobs_.count(id) > 0; });
  return jobs_[id];
}

void checkSame(const Heard& heard, const Heard& wanted, const std::string& what) {
  constexpr float kLastDigits = 0.25f;
  CHECK(!heard.end.error);
  CHECK_EQUAL(heard.ids.size(), wanted.ids.size());
  for (size_t at = 0; at < wanted.ids.size(); ++at) {
    const std::vector<TokenChance>& top = wanted.logprobs[at].top;
    const float here = heard.logprobs[at].top[0].logprob;
    if (std::abs(here - top[0].logprob) > kLastDigits) failAt(__FILE__, __LINE__, what + ": other chances");
    if (heard.ids[at] == wanted.ids[at]) continue;
    if (top[0].logprob - top[1].logprob > kLastDigits) failAt(__FILE__, __LINE__, what + ": other tokens");
    return;
  }
}

std::string bitsOf(const Heard& heard) {
  std::string bits = heard.end.error ? heard.end.error->message : heard.text;
  const auto add = [&](const llamaestro::TokenChance& chance) {
    char number[60];
    snprintf(number, sizeof(number), " %u:%a", chance.id, static_cast<double>(chance.logprob));
    bits += number;
  };
  for (const uint32_t id : heard.ids) bits += " " + std::to_string(id);
  for (const llamaestro::LogprobRow& row : heard.logprobs) {
    add(row.token);
    for (const llamaestro::TokenChance& other : row.top) add(other);
  }
  return bits;
}

}  // namespace tests
