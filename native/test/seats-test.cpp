// Priorities, parking, and several answers to one prompt.
#include <algorithm>
#include <cmath>
#include <string>

#include "driver.h"
#include "harness.h"

using namespace llamaestro;
using tests::checkSame;
using tests::Driver;
using tests::Heard;
using tests::loadOptions;
using tests::textRequest;

namespace {

using Ids = std::vector<uint32_t>;

// Every kind of cache: attention, sliding window, recurrent, both.
const char* const kModels[] = {"tiny", "../architectures/gemma3", "../architectures/mamba",
                               "../architectures/granitehybrid"};

LoadOptions slots(const std::string& model, double count, double contextTokens, const std::string& layout = "split") {
  LoadOptions options = loadOptions(model);
  options.slots = count;
  options.contextTokens = contextTokens;
  options.kvLayout = layout;
  options.chunkTokens = 64;
  return options;
}

SequenceRequest talk(uint32_t salt, double maxTokens, double priority = 0) {
  SequenceRequest request = textRequest("", maxTokens);
  request.prompt.kind = Prompt::Kind::Tokens;
  for (uint32_t i = 0; i < 20 + salt * 7; ++i) request.prompt.tokens.push_back(60 + (i * (salt + 3)) % 150);
  request.ignoreEos = true;
  request.priority = priority;
  return request;
}

Ids alone(const LoadOptions& options, SequenceRequest request) {
  request.choices = std::nullopt;
  Driver driver(options);
  return driver.waitFinished(driver.submit(request)).ids;
}

std::string refusal(Driver& driver, const SequenceRequest& request) {
  const Result<uint32_t> result = driver.engine().submit(request);
  return result.ok() ? "ok" : result.error().code + " " + result.error().param;
}

std::string loadRefusal(const LoadOptions& options) {
  const Result<MemoryPlan> plan = planMemory(options);
  return plan.ok() ? "ok" : plan.error().code + " " + plan.error().param;
}

}  // namespace

TEST("seats: a higher priority starts first") {
  Driver driver(slots("tiny", 1, 512));
  const uint32_t running = driver.submit(talk(0, 100, 10));
  const uint32_t low = driver.submit(talk(1, 5, -1));
  const uint32_t middle = driver.submit(talk(2, 5));
  const uint32_t high = driver.submit(talk(3, 5, 1));
  std::vector<uint32_t> order;
  driver.waitUntil([&] {
    for (uint32_t id : {running, low, middle, high}) {
      if (driver.heard(id).finished && std::find(order.begin(), order.end(), id) == order.end()) order.push_back(id);
    }
    return order.size() == 4;
  });
  CHECK(driver.waitFinished(low).end.queueMs > driver.waitFinished(middle).end.queueMs);
  CHECK(driver.waitFinished(middle).end.queueMs > driver.waitFinished(high).end.queueMs);
}

TEST("seats: whoever makes way for a higher priority goes on later with the same tokens") {
  for (const char* model : kModels) {
    for (const char* layout : {"split", "unified"}) {
      const LoadOptions options = slots(model, 2, 2 * 512, layout);
      SequenceRequest patient = talk(1, 400);
      patient.logprobs = 2;
      Driver solo(options);
      const Heard wanted = solo.waitFinished(solo.submit(patient));
      Driver driver(options);
      const uint32_t first = driver.submit(talk(0, 400));
      const uint32_t second = driver.submit(patient);
      driver.waitUntil([&] { return driver.heard(second).ids.size() > 10; });
      const uint32_t urgent = driver.submit(talk(2, 20, 5));
      CHECK_EQUAL(driver.waitFinished(urgent).ids.size(), 20u);
      CHECK(!driver.heard(second).finished);
      checkSame(driver.waitFinished(second), wanted, std::string(model) + ", " + layout);
      CHECK_EQUAL(driver.heard(second).order.front(), "started");
      CHECK_EQUAL(std::count(driver.heard(second).order.begin(), driver.heard(second).order.end(), "started"), 1);
      driver.waitFinished(first);
      CHECK_EQUAL(driver.engine().stats().parked, 1u);
      CHECK_EQUAL(driver.engine().stats().waiting, 0u);
    }
  }
}

TEST("seats: a prompt under way can make way too, and a parked sequence can be cancelled") {
  Driver driver(slots("prefill", 1, 4096));
  SequenceRequest slow = textRequest("", 5);
  slow.prompt.kind = Prompt::Kind::Tokens;
  slow.prompt.tokens.assign(500, 5);
  const uint32_t first = driver.submit(slow);
  driver.waitUntil([&] { return driver.heard(first).prefilled > 0; });
  const uint32_t urgent = driver.submit(talk(0, 5, 1));
  driver.waitFinished(urgent);
  CHECK_EQUAL(driver.waitFinished(first).prefilled, 500u);
  CHECK_EQUAL(driver.engine().stats().promptTokens, 520u);
  const uint32_t victim = driver.submit(slow);
  driver.waitUntil([&] { return driver.heard(victim).prefilled > 0; });
  const uint32_t next = driver.submit(talk(0, 2000, 1));
  driver.waitUntil([&] { return !driver.heard(next).ids.empty(); });
  driver.engine().cancel(victim);
  CHECK(driver.waitFinished(victim).end.reason == FinishReason::Cancelled);
  driver.engine().cancel(next);
}

TEST("seats: sequences that outgrow a shared cache take turns and lose nothing") {
  // Not random weights: where a cell lies decides rounding in a shared cache.
  LoadOptions options = slots("scripted", 4, 512, "unified");
  options.contextTokensPerSlot = 512;
  std::vector<Ids> expected;
  for (uint32_t i = 0; i < 4; ++i) expected.push_back(alone(options, talk(i, 300)));
  Driver driver(options);
  CHECK_EQUAL(driver.engine().info().contextTokensPerSlot, 512u);
  CHECK_EQUAL(driver.engine().info().contextTokens, 512u);
  std::vector<uint32_t> ids;
  for (uint32_t i = 0; i < 4; ++i) ids.push_back(driver.submit(talk(i, 300)));
  for (uint32_t i = 0; i < 4; ++i) {
    const Heard& heard = driver.waitFinished(ids[i]);
    CHECK(heard.end.reason == FinishReason::Length);
    CHECK(heard.ids == expected[i]);
  }
  CHECK(driver.engine().stats().parked > 0);
}

TEST("seats: a sequence alone may fill the whole of a shared cache") {
  LoadOptions options = slots("tiny", 4, 512, "unified");
  options.contextTokensPerSlot = 512;
  Driver driver(options);
  const uint32_t other = driver.submit(talk(1, 200));
  SequenceRequest all = talk(0, 492);
  const uint32_t first = driver.submit(all);
  CHECK_EQUAL(driver.waitFinished(first).ids.size(), 492u);
  CHECK_EQUAL(driver.waitFinished(other).ids.size(), 200u);
}

TEST("seats: more context per slot than there is for it needs a shared cache") {
  LoadOptions options = slots("tiny", 4, 512);
  options.contextTokensPerSlot = 129;
  CHECK_EQUAL(loadRefusal(options), "invalid_request contextTokensPerSlot");
  options.contextTokensPerSlot = 128;
  CHECK_EQUAL(loadRefusal(options), "ok");
  options.kvLayout = "unified";
  options.contextTokensPerSlot = 513;
  CHECK_EQUAL(loadRefusal(options), "invalid_request contextTokensPerSlot");
  options.contextTokensPerSlot = 512;
  CHECK_EQUAL(planMemory(options).value().contextTokens, 512u);
  CHECK_EQUAL(planMemory(options).value().contextTokensPerSlot, 512u);
  options.contextTokens = std::nullopt;
  CHECK_EQUAL(planMemory(options).value().contextTokens, 2048u);
  options.contextTokensPerSlot = 16777216;
  CHECK_EQUAL(loadRefusal(options), "invalid_request contextTokensPerSlot");
}

TEST("choices: each says what it would say alone, and the prompt is computed once") {
  for (const char* model : kModels) {
    for (const char* layout : {"split", "unified"}) {
      for (const double count : {4, 2}) {  // two of the four wait with a copy of the prompt
        LoadOptions options = slots(model, count, 4 * 512, layout);
        options.prefixCacheBytes = 0;  // what is left in shared cells changes where others lie, and so the last digits
        SequenceRequest request = talk(3, 30);
        request.temperature = 2;
        request.seed = 4294967294.0;
        request.choices = 4;
        std::vector<Ids> expected;
        for (double seed : {4294967294.0, 4294967295.0, 0.0, 1.0}) {
          SequenceRequest one = request;
          one.seed = seed;
          expected.push_back(alone(options, one));
        }
        Driver driver(options);
        const uint32_t id = driver.submit(request);
        for (uint32_t i = 0; i < 4; ++i) {
          const Heard& heard = driver.waitFinished(id + i);
          CHECK(heard.ids == expected[i]);
          CHECK_EQUAL(heard.end.promptTokens, i == 0 ? 41u : 0u);
          CHECK_EQUAL(heard.order.front(), i == 0 ? "started" : "tokens");
        }
        CHECK_EQUAL(driver.engine().stats().promptTokens, 41u);
        CHECK_EQUAL(driver.engine().stats().running, 0u);
        CHECK_EQUAL(driver.engine().stats().waiting, 0u);
      }
    }
  }
}

TEST("choices: a prompt that is cancelled ends all of them, a choice of its own only itself") {
  Driver driver(slots("prefill", 4, 4 * 4096));
  SequenceRequest request = textRequest("", 500);
  request.prompt.kind = Prompt::Kind::Tokens;
  request.prompt.tokens.assign(800, 5);
  request.ignoreEos = true;
  request.choices = 3;
  const uint32_t id = driver.submit(request);
  driver.waitUntil([&] { return driver.heard(id).prefilled > 0; });
  driver.engine().cancel(id);
  for (uint32_t i = 0; i < 3; ++i) CHECK(driver.waitFinished(id + i).end.reason == FinishReason::Cancelled);
  request.prompt.tokens.resize(100);
  const uint32_t second = driver.submit(request);
  driver.waitUntil([&] { return !driver.heard(second + 2).ids.empty(); });
  driver.engine().cancel(second + 1);
  CHECK(driver.waitFinished(second + 1).end.reason == FinishReason::Cancelled);
  driver.engine().cancel(second);
  CHECK(driver.waitFinished(second).end.reason == FinishReason::Cancelled);
  CHECK_EQUAL(driver.waitFinished(second + 2).ids.size(), 500u);
}

TEST("choices: one that is cancelled before the prompt is done does not hold the others up") {
  Driver driver(slots("prefill", 4, 4 * 4096));
  SequenceRequest request = talk(0, 5);
  request.prompt.tokens.assign(500, 5);
  request.choices = 3;
  const uint32_t id = driver.submit(request);
  driver.engine().cancel(id + 1);
  CHECK(driver.waitFinished(id + 1).end.reason == FinishReason::Cancelled);
  CHECK_EQUAL(driver.waitFinished(id).ids.size(), 5u);
  CHECK_EQUAL(driver.waitFinished(id + 2).ids.size(), 5u);
}

TEST("seats: bad numbers are refused with the name of the field") {
  Driver driver(slots("tiny", 1, 256));
  for (const double bad : {-11.0, 11.0, 0.5, static_cast<double>(NAN)}) {
    CHECK_EQUAL(refusal(driver, talk(0, 5, bad)), "invalid_request priority");
  }
  for (const double bad : {0.0, 17.0, 1.5}) {
    SequenceRequest request = talk(0, 5);
    request.choices = bad;
    CHECK_EQUAL(refusal(driver, request), "invalid_request choices");
  }
}

TEST("seats: the cells in use are those of llama.cpp's own books, shared ones once") {
  for (const char* model : kModels) {
    for (const char* layout : {"split", "unified"}) {
      Driver driver(slots(model, 3, 3 * 256, layout));
      SequenceRequest several = talk(6, 150);
      several.choices = 3;
      several.temperature = 2;
      several.seed = 5;
      const uint32_t first = driver.submit(several);
      const uint32_t other = driver.submit(talk(2, 60, 5));
      uint64_t most = 0;
      driver.waitUntil([&] {
        const EngineStats stats = driver.engine().stats();
        most = std::max<uint64_t>(most, stats.cellsCounted);
        bool isOver = driver.heard(other).finished;
        for (uint32_t id = first; id < first + 3; ++id) isOver = isOver && driver.heard(id).finished;
        return isOver && stats.running == 0;
      });
      CHECK(most > 62);
      // Whoever hears of the end finds the books closed: what is in use still is nobody's.
      const EngineStats stats = driver.engine().stats();
      CHECK_EQUAL(stats.cellsCounted, stats.cellsRecounted);
      CHECK_EQUAL(stats.cellsHeld, stats.cellsCounted);
    }
  }
}
