#include <cmath>
#include <cstdlib>
#include <thread>

#include "chat-template.h"
#include "devices.h"
#include "driver.h"
#include "engine.h"
#include "harness.h"
#include "log-hub.h"

using namespace llamaestro;
using tests::Driver;
using tests::loadOptions;

namespace {

std::string loadCode(const LoadOptions& options) {
  Result<std::shared_ptr<Engine>> loaded = Engine::load(options, {});
  return loaded.ok() ? "ok" : loaded.error().code + " " + loaded.error().param;
}

}  // namespace

TEST("load: options out of range are refused with the name of the field") {
  const auto refused = [](const std::function<void(LoadOptions&)>& change) {
    LoadOptions options = loadOptions("tiny");
    change(options);
    return loadCode(options);
  };
  CHECK_EQUAL(refused([](LoadOptions& o) { o.slots = 0; }), "invalid_request slots");
  CHECK_EQUAL(refused([](LoadOptions& o) { o.slots = 257; }), "invalid_request slots");
  CHECK_EQUAL(refused([](LoadOptions& o) { o.threads = 100000; }), "invalid_request threads");
  CHECK_EQUAL(refused([](LoadOptions& o) { o.chunkTokens = 5; }), "invalid_request chunkTokens");
  CHECK_EQUAL(refused([](LoadOptions& o) { o.contextTokens = NAN; }), "invalid_request contextTokens");
  CHECK_EQUAL(refused([](LoadOptions& o) { o.contextTokens = 1 << 25; }), "invalid_request contextTokens");
  CHECK_EQUAL(refused([](LoadOptions& o) {
                o.contextTokens = 4;
                o.slots = 4;
              }),
              "invalid_request contextTokens");
  CHECK_EQUAL(refused([](LoadOptions& o) { o.kvTypeK = "i32"; }), "invalid_request kvTypeK");
  CHECK_EQUAL(refused([](LoadOptions& o) { o.kvLayout = "both"; }), "invalid_request kvLayout");
  CHECK_EQUAL(refused([](LoadOptions& o) { o.purpose = "dream"; }), "invalid_request purpose");
  CHECK_EQUAL(refused([](LoadOptions& o) { o.gpuLayers = -1; }), "invalid_request gpuLayers");
  CHECK_EQUAL(refused([](LoadOptions& o) {
                o.kvTypeV = "q8_0";
                o.flashAttention = "off";
              }),
              "invalid_request kvTypeV");
}

TEST("load: a model of the wrong kind is refused") {
  CHECK_EQUAL(loadCode(loadOptions("embedder", "generate")), "model_unusable purpose");
  CHECK_EQUAL(loadCode(loadOptions("embedder", "rerank")), "model_unusable purpose");
  CHECK_EQUAL(loadCode(loadOptions("reranker", "embed")), "model_unusable purpose");
  CHECK_EQUAL(loadCode(loadOptions("tiny", "rerank")), "model_unusable purpose");
}

TEST("load: what cannot fit is refused before a byte is allocated") {
  LoadOptions options = loadOptions("prefill");
  options.slots = 256;
  options.kvTypeK = "f32";
  options.kvTypeV = "f32";
  options.contextTokens = 1 << 16;
  const uint64_t bytes = planMemory(options).value().totalBytes;
  const double tooMuch = 1.5 * static_cast<double>(hostFreeBytes()) / static_cast<double>(bytes) * (1 << 16);
  options.contextTokens = std::floor(std::min<double>(tooMuch, 1 << 24));
  if (planMemory(options).value().totalBytes > hostTotalBytes()) CHECK_EQUAL(loadCode(options), "does_not_fit ");
}

TEST("load: progress rises from 0 to 1 and a cancel stops it") {
  std::vector<double> seen;
  LoadHooks hooks;
  hooks.onProgress = [&](double fraction) { seen.push_back(fraction); };
  {
    Result<std::shared_ptr<Engine>> loaded = Engine::load(loadOptions("prefill"), hooks);
    CHECK(loaded.ok());
  }
  CHECK(seen.size() >= 3);
  CHECK_EQUAL(seen.front(), 0.0);
  CHECK_EQUAL(seen.back(), 1.0);
  for (size_t i = 1; i < seen.size(); ++i) CHECK(seen[i] >= seen[i - 1]);
  // At every place where progress is reported, a cancel frees everything.
  for (size_t stopAt = 0; stopAt + 1 < seen.size(); stopAt += 1 + seen.size() / 8) {
    size_t calls = 0;
    hooks.cancel = std::make_shared<std::atomic<bool>>(false);
    hooks.onProgress = [&](double) {
      if (calls++ == stopAt) hooks.cancel->store(true);
    };
    Result<std::shared_ptr<Engine>> loaded = Engine::load(loadOptions("prefill"), hooks);
    CHECK(!loaded.ok());
    CHECK_EQUAL(loaded.error().code, "cancelled");
  }
}

TEST("load: a mapped model generates the same") {
  LoadOptions options = loadOptions("tiny");
  SequenceRequest request = tests::textRequest("Hello", 20);
  request.ignoreEos = true;
  Driver read(options);
  options.mmap = true;
  Driver mapped(options);
  CHECK(read.waitFinished(read.submit(request)).ids == mapped.waitFinished(mapped.submit(request)).ids);
}

TEST("load: a vocabulary alone counts, renders and detokenizes") {
  LoadOptions options = loadOptions("scripted", "vocab");
  Driver driver(options);
  Prompt prompt;
  prompt.text = "Hello \xe2\x98\x83";
  const std::vector<uint32_t> ids = driver.engine().tokenize(prompt).value();
  CHECK(ids.size() > 5);
  const std::string text = driver.engine().detokenize({ids.begin(), ids.end()}).value();
  CHECK(text.find("Hello \xe2\x98\x83") != std::string::npos);
  prompt.kind = Prompt::Kind::Messages;
  prompt.messages = {{"user", "Hi"}};
  CHECK(driver.engine().tokenize(prompt).ok());
  CHECK(driver.engine().info().hasChatTemplate);
  CHECK_EQUAL(driver.engine().submit(tests::textRequest("x", 1)).error().code, "invalid_request");
  CHECK(!driver.engine().detokenize({1e9}).ok());
}

TEST("load: the engine says what it loaded") {
  LoadOptions options = loadOptions("tiny");
  options.slots = 2;
  options.contextTokens = 500;
  Driver driver(options);
  const EngineInfo& info = driver.engine().info();
  CHECK_EQUAL(info.architecture, "llama");
  CHECK(info.parameterCount > 1000);
  CHECK(info.fileBytes > 1000);
  CHECK(!info.quantisation.empty());
  CHECK_EQUAL(info.slots, 2u);
  CHECK_EQUAL(info.contextTokensPerSlot, 250u);
  CHECK_EQUAL(info.threads, 1u);
  CHECK(info.layers > 0);
  CHECK(info.embeddingLength > 0);
  CHECK(info.loadMs > 0);
}

TEST("devices: the CPU comes last and has less free than it has") {
  const std::vector<DeviceInfo> devices = listDevices().value();
  CHECK_EQUAL(devices.back().id, "cpu");
  CHECK(devices.back().freeBytes > 0);
  CHECK(devices.back().freeBytes <= devices.back().totalBytes);
  CHECK(physicalCoresAllowed() >= 1);
}

TEST("log: lines of llama.cpp are kept, at most so many") {
  const uint64_t before = newestLogNumber();
  Driver driver(loadOptions("tiny"));
  CHECK(newestLogNumber() > before);
  CHECK(recentLogLines().size() <= kKeptLogLines);
}

TEST("template: depth and size are limited before anything is compiled") {
  CHECK(templateFault("{% for m in messages %}{{ m['content'] }}{% endfor %}").empty());
  CHECK(!templateFault(std::string(300 << 10, 'x')).empty());
  CHECK(!templateFault("{{ " + std::string(50000, '(') + std::string(50000, ')') + " }}").empty());
  std::string nested;
  for (int i = 0; i < 200; ++i) nested += "{%- if true %}";
  CHECK(!templateFault(nested).empty());
  std::string flat;
  for (int i = 0; i < 500; ++i) flat += "{% if true %}(a){% endif %}{{ x[0] }}{# c #}";
  CHECK(templateFault(flat).empty());
}
