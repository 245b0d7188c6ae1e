// Prompts that share a beginning, through a whole engine: random weights, whose greedy tokens and log probabilities
// depend on every number in the cache.
#include <atomic>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "driver.h"
#include "harness.h"

using namespace llamaestro;
using tests::bitsOf;
using tests::Driver;
using tests::Heard;
using tests::loadOptions;

namespace {

constexpr uint32_t kPerSlot = 1024;

LoadOptions options(double slots, double prefixCacheBytes = 64 << 20) {
  LoadOptions options = loadOptions("tiny");
  options.slots = slots;
  options.contextTokens = slots * kPerSlot;
  options.prefixCacheBytes = prefixCacheBytes;
  return options;
}

// `shared` tokens that all requests have in common, then own ones up to `total`.
SequenceRequest request(uint32_t shared, uint32_t total, uint32_t salt, double maxTokens = 12) {
  SequenceRequest request;
  request.prompt.kind = Prompt::Kind::Tokens;
  for (uint32_t i = 0; i < total; ++i) {
    request.prompt.tokens.push_back(5 + (i * 7 + i / 13 * 3 + (i < shared ? 0 : (salt + 1) * 31)) % 200);
  }
  request.maxTokens = maxTokens;
  request.temperature = 0;
  request.ignoreEos = true;
  request.logprobs = 3;
  return request;
}

// Everything that was said, to the last bit.
std::string aloneSays(const SequenceRequest& request) {
  Driver driver(options(1, 0));
  const Heard& heard = driver.waitFinished(driver.submit(request));
  CHECK_EQUAL(heard.cachedTokens, 0u);
  return bitsOf(heard);
}

}  // namespace

TEST("prefix cache: a hit says bit for bit what a miss says, wherever the prompt ends") {
  Driver driver(options(1));
  driver.waitFinished(driver.submit(request(600, 647, 0)));
  struct Case {
    uint32_t total;
    uint32_t cached;
  };
  for (const Case& one : {Case{647, 576}, {650, 576}, {630, 512}, {601, 512}, {700, 576}, {770, 576}, {300, 256}}) {
    const SequenceRequest again = request(600, one.total, one.total);
    const Heard& heard = driver.waitFinished(driver.submit(again));
    CHECK_EQUAL(heard.cachedTokens, one.cached);
    CHECK_EQUAL(heard.end.cachedTokens, one.cached);
    CHECK_EQUAL(heard.end.promptTokens, one.total);
    CHECK_EQUAL(heard.prefilled, one.total);
    CHECK_EQUAL(bitsOf(heard), aloneSays(again));
  }
  const EngineStats stats = driver.engine().stats();
  CHECK_EQUAL(stats.prefixHits, 7u);
  CHECK_EQUAL(stats.cachedTokens, 576u * 4 + 512 * 2 + 256);
  CHECK(stats.prefixBlocks > 0 && stats.prefixBytes > 0 && stats.prefixBytes <= 64 << 20);
}

TEST("prefix cache: an attention without tiles and other chunks keep the bits too") {
  for (const auto& [flash, chunk] : {std::pair{"off", 256}, {"on", 128}, {"on", 96}, {"on", 16}}) {
    LoadOptions load = options(1);
    load.flashAttention = flash;
    load.chunkTokens = chunk;
    std::string first;
    {
      LoadOptions without = load;
      without.prefixCacheBytes = 0;
      Driver driver(without);
      first = bitsOf(driver.waitFinished(driver.submit(request(600, 647, 1))));
    }
    Driver driver(load);
    driver.waitFinished(driver.submit(request(600, 647, 0)));
    const Heard& heard = driver.waitFinished(driver.submit(request(600, 647, 1)));
    CHECK(heard.cachedTokens >= 500);
    CHECK_EQUAL(bitsOf(heard), first);
  }
}

TEST("prefix cache: requests at once wait for the first and share what it computes") {
  std::vector<std::string> alone;
  for (uint32_t i = 0; i < 6; ++i) alone.push_back(aloneSays(request(600, 647, i, 1)));
  Driver driver(options(4));
  std::vector<uint32_t> ids;
  for (uint32_t i = 0; i < 6; ++i) ids.push_back(driver.submit(request(600, 647, i, 1)));
  uint32_t computed = 0;
  for (uint32_t i = 0; i < 6; ++i) {
    const Heard& heard = driver.waitFinished(ids[i]);
    CHECK_EQUAL(bitsOf(heard), alone[i]);
    computed += 647 - heard.end.cachedTokens;
  }
  CHECK_EQUAL(computed, 647u + 5 * 71);
}

TEST("prefix cache: when the first one is cancelled the next takes its place") {
  Driver driver(options(3));
  std::vector<uint32_t> ids;
  for (uint32_t i = 0; i < 4; ++i) ids.push_back(driver.submit(request(900, 950, i, 1)));
  driver.waitUntil([&] { return driver.heard(ids[0]).prefilled > 0; });
  driver.engine().cancel(ids[0]);
  for (uint32_t i = 1; i < 4; ++i) CHECK(driver.waitFinished(ids[i]).end.reason == FinishReason::Length);
  CHECK(driver.waitFinished(ids[0]).finished);
}

TEST("prefix cache: one that does not want it neither reads nor feeds it") {
  Driver driver(options(1));
  SequenceRequest closed = request(600, 647, 0);
  closed.cachePrompt = false;
  driver.waitFinished(driver.submit(closed));
  CHECK_EQUAL(driver.engine().stats().prefixBlocks, 0u);
  driver.waitFinished(driver.submit(request(600, 647, 1)));
  CHECK(driver.engine().stats().prefixBlocks > 0);
  CHECK_EQUAL(driver.waitFinished(driver.submit(closed)).cachedTokens, 0u);
}

TEST("prefix cache: stays inside its budget, and one too small for anything keeps nothing in host memory") {
  Driver driver(options(1, 600000));
  for (uint32_t i = 0; i < 12; ++i) {
    driver.waitFinished(driver.submit(request(0, 500, i, 1)));
    CHECK(driver.engine().stats().prefixBytes <= 600000);
  }
  Driver tight(options(1, 1000));
  tight.waitFinished(tight.submit(request(600, 647, 0, 1)));
  tight.waitFinished(tight.submit(request(0, 647, 3, 1)));
  CHECK_EQUAL(tight.waitFinished(tight.submit(request(600, 647, 0, 1))).cachedTokens, 0u);
  CHECK_EQUAL(tight.engine().stats().prefixBytes, 0u);
}

TEST("prefix cache: a unified cache shares too") {
  LoadOptions load = options(3);
  load.kvLayout = "unified";
  Driver driver(load);
  std::vector<uint32_t> ids;
  for (uint32_t i = 0; i < 5; ++i) ids.push_back(driver.submit(request(600, 647, i, 4)));
  uint32_t cached = 0;
  for (uint32_t id : ids) cached += driver.waitFinished(id).end.cachedTokens;
  CHECK_EQUAL(cached, 4 * 576u);
}

TEST("prefix cache: a budget out of range is refused by name, and the plan states the default") {
  LoadOptions load = options(1, -1);
  const Result<std::shared_ptr<Engine>> refused = Engine::load(load, {});
  CHECK(!refused.ok());
  CHECK_EQUAL(refused.error().param, "prefixCacheBytes");
  load.prefixCacheBytes = std::nullopt;
  const Result<MemoryPlan> plan = planMemory(load);
  CHECK(plan.ok());
  CHECK(plan.value().prefixCacheBytes > 0 && plan.value().prefixCacheBytes <= 1 << 30);
}

namespace {

std::string read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

void write(const std::string& path, const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }

std::string reasonOf(const Result<PrefixFileSummary>& result) {
  if (result.ok()) return "ok";
  for (const Detail& detail : result.error().details) {
    if (detail.name == "reason") return result.error().code + " " + std::get<std::string>(detail.value);
  }
  return result.error().code;
}

}  // namespace

TEST("prefix file: another engine takes over what was saved, and says the same to the last bit") {
  const std::string path = tests::scratchFolder() + "/prefixes";
  const std::string expected = aloneSays(request(600, 647, 5));
  uint64_t saved = 0;
  {
    Driver driver(options(1));
    driver.waitFinished(driver.submit(request(600, 647, 0, 1)));
    driver.waitFinished(driver.submit(request(0, 300, 9, 1)));
    const Result<PrefixFileSummary> all = driver.engine().savePrefixes(path, std::nullopt);
    CHECK_EQUAL(reasonOf(all), "ok");
    CHECK_EQUAL(all.value().prefixes, 2u);
    CHECK_EQUAL(all.value().tokens, 640u + 256);
    CHECK_EQUAL(read(path).size(), all.value().bytes);
    saved = driver.engine().stats().prefixBytes;
    // Once more over the first, with the one prompt alone.
    const Result<PrefixFileSummary> one = driver.engine().savePrefixes(path + ".one", request(0, 300, 9, 1).prompt);
    CHECK_EQUAL(one.value().tokens, 256u);
  }
  Driver driver(options(1));
  const Result<PrefixFileSummary> restored = driver.engine().restorePrefixes(path);
  CHECK_EQUAL(reasonOf(restored), "ok");
  CHECK_EQUAL(restored.value().tokens, 640u + 256);
  CHECK_EQUAL(driver.engine().stats().prefixBytes, saved);
  CHECK_EQUAL(driver.engine().restorePrefixes(path).value().tokens, 0u);
  const Heard& heard = driver.waitFinished(driver.submit(request(600, 647, 5)));
  CHECK_EQUAL(heard.cachedTokens, 576u);
  CHECK_EQUAL(bitsOf(heard), expected);
  // A smaller budget takes what fits.
  Driver small(options(1, static_cast<double>(saved / 2)));
  CHECK_EQUAL(reasonOf(small.engine().restorePrefixes(path)), "ok");
  CHECK(small.engine().stats().prefixBytes > 0 && small.engine().stats().prefixBytes <= saved / 2);
}

TEST("prefix file: foreign, damaged and unreadable ones are refused and leave no trace") {
  const std::string folder = tests::scratchFolder();
  const std::string path = folder + "/prefixes";
  Driver driver(options(1));
  driver.waitFinished(driver.submit(request(200, 200, 0, 1)));
  CHECK_EQUAL(reasonOf(driver.engine().savePrefixes(path, std::nullopt)), "ok");
  const std::string good = read(path);
  Driver other(options(1));
  const auto restoring = [&](const std::string& bytes) {
    write(folder + "/bad", bytes);
    return reasonOf(other.engine().restorePrefixes(folder + "/bad"));
  };
  for (size_t cut = 0; cut < good.size(); cut += 1 + good.size() / 97) {
    CHECK(restoring(good.substr(0, cut)) != "ok");
  }
  for (size_t at = 0; at < good.size(); at += 1 + good.size() / 211) {
    std::string flipped = good;
    flipped[at] = static_cast<char>(flipped[at] ^ 16);
    const std::string reason = restoring(flipped);
    CHECK(reason == "invalid_request damaged" || (at < 8 && reason == "invalid_request foreign"));
  }
  CHECK_EQUAL(restoring("GGUF and more"), "invalid_request foreign");
  CHECK_EQUAL(reasonOf(other.engine().restorePrefixes(folder + "/none")), "invalid_request unreadable");
  CHECK_EQUAL(reasonOf(other.engine().restorePrefixes(folder)), "invalid_request unreadable");
  CHECK_EQUAL(other.engine().stats().prefixBlocks, 0u);
  LoadOptions load = loadOptions("scripted");
  load.contextTokens = 1024;
  CHECK_EQUAL(reasonOf(Driver(load).engine().restorePrefixes(path)), "invalid_request foreign");
  load = options(1);
  load.kvTypeK = "f32";
  CHECK_EQUAL(reasonOf(Driver(load).engine().restorePrefixes(path)), "invalid_request foreign");
  CHECK_EQUAL(reasonOf(driver.engine().savePrefixes(folder + "/none/x", std::nullopt)), "invalid_request unwritable");
  CHECK_EQUAL(reasonOf(driver.engine().savePrefixes(folder, std::nullopt)), "invalid_request unwritable");
  const auto cancel = std::make_shared<std::atomic<bool>>(true);
  CHECK_EQUAL(reasonOf(driver.engine().savePrefixes(folder + "/no", std::nullopt, cancel)), "cancelled");
  size_t files = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder)) ++files;
  CHECK_EQUAL(files, 2u);
  CHECK_EQUAL(reasonOf(Driver(options(1, 0)).engine().savePrefixes(path, std::nullopt)), "invalid_request");
  CHECK(read(path) == good);
}
