// What a finished sequence leaves in its slot: whoever goes on from there says what it would say afresh, and it is in
// nobody's way.
#include "holders.h"

#include <string>

#include "driver.h"
#include "harness.h"

using namespace llamaestro;
using tests::bitsOf;
using tests::Driver;
using tests::Heard;
using tests::loadOptions;
using tests::noise;

namespace {

using Tokens = std::vector<double>;

LoadOptions options(const std::string& model, double slots, double prefixCacheBytes = 256 << 20) {
  LoadOptions options = loadOptions(model);
  options.slots = slots;
  options.contextTokens = slots * 1024;
  options.chunkTokens = 128;
  options.prefixCacheBytes = prefixCacheBytes;
  return options;
}

Tokens behind(Tokens tokens, const Tokens& more) {
  tokens.insert(tokens.end(), more.begin(), more.end());
  return tokens;
}

SequenceRequest request(const Tokens& tokens, double maxTokens = 6) {
  return tests::tokensRequest(tokens, maxTokens, 2);
}

const Heard& say(Driver& driver, const SequenceRequest& request) { return driver.waitFinished(driver.submit(request)); }

std::string afresh(LoadOptions options, const SequenceRequest& request) {
  options.slots = 1;
  options.contextTokens = 1024;
  options.prefixCacheBytes = 0;
  Driver driver(options);
  return bitsOf(say(driver, request));
}

// How many tokens `request` takes over, and how many of them where they are: "512 512".
std::string takes(Driver& driver, const SequenceRequest& request) {
  const uint64_t before = driver.engine().stats().inPlaceTokens;
  const uint32_t cached = say(driver, request).cachedTokens;
  return std::to_string(cached) + " " + std::to_string(driver.engine().stats().inPlaceTokens - before);
}

}  // namespace

TEST("holders: one for each slot, the one used longest ago goes first") {
  Holders holders;
  CHECK(holders.empty() && !holders.oldest() && holders.cells() == 0);
  holders.add(3, 0, {1, 2, 3});
  holders.add(1, 7, {4, 5});
  CHECK_EQUAL(holders.cells(), 5u);
  CHECK_EQUAL(*holders.oldest(), 3u);
  CHECK_EQUAL(holders.in(1)->space, 7u);
  CHECK(holders.in(1)->lastUse > holders.in(3)->lastUse && holders.in(3)->lastUse > 0);
  holders.remove(3);
  holders.remove(3);
  CHECK(holders.in(3) == nullptr);
  holders.add(3, 0, {9});
  CHECK_EQUAL(*holders.oldest(), 1u);
  CHECK_EQUAL(holders.all().size(), 2u);
}

TEST("holders: a prompt goes on where another ended, to the last bit, with every kind of cache") {
  for (const char* architecture : {"llama", "llama-q4", "llama-moe", "qwen2", "qwen3", "qwen3moe", "deepseek2",
                                   "gemma3", "gpt-oss", "granitehybrid", "mamba"}) {
    const LoadOptions all = options(std::string("../architectures/") + architecture, 2);
    const Tokens begin = noise(512, 1);
    const SequenceRequest next = request(behind(begin, noise(90, 2)));
    Driver driver(all);
    // Only one token, so that nothing of an answer is in the cache.
    say(driver, request(begin, 1));
    CHECK_EQUAL(driver.engine().stats().cellsHeld, 512u);
    const Heard& heard = say(driver, next);
    CHECK_EQUAL(architecture + std::to_string(heard.cachedTokens), architecture + std::string("512"));
    CHECK_EQUAL(driver.engine().stats().inPlaceTokens, 512u);
    CHECK_EQUAL(architecture + bitsOf(heard), architecture + afresh(all, next));
  }
}

TEST("holders: a prompt that parts from what is there takes what they have in common, on the grid") {
  Driver driver(options("tiny", 1));
  say(driver, request(noise(600, 1)));
  for (const uint32_t common : {500u, 300u, 200u, 100u}) {
    const Tokens begin = noise(common, 1);
    const SequenceRequest next = request(behind(begin, noise(250, common)));
    CHECK_EQUAL(takes(driver, next), std::to_string(common / 64 * 64) + " " + std::to_string(common / 64 * 64));
    CHECK_EQUAL(bitsOf(say(driver, next)), afresh(options("tiny", 1), next));
  }
}

TEST("holders: a sliding window goes back as far as it remembers, to the last bit") {
  for (const char* model : {"../architectures/gemma3", "../architectures/gpt-oss"}) {
    const LoadOptions all = options(model, 1);
    Driver driver(all);
    for (uint32_t length = 300; length < 900; length += 97) {
      const Tokens begin = noise(length, length);
      say(driver, request(begin, 30));
      const uint32_t chunks = (length - 3) / 128 * 128;
      const SequenceRequest again = request(behind(noise(length - 3, length), noise(20, 1)));
      const uint64_t before = driver.engine().stats().inPlaceTokens;
      CHECK_EQUAL(model + bitsOf(say(driver, again)), model + afresh(all, again));
      CHECK_EQUAL(driver.engine().stats().inPlaceTokens - before, chunks);
      // Far back too, be the window before it there or not.
      const SequenceRequest far = request(behind(noise(130, length), noise(20, 2)));
      CHECK_EQUAL(model + bitsOf(say(driver, far)), model + afresh(all, far));
    }
  }
  LoadOptions load = options("../architectures/gemma3", 1);
  load.reuseGenerated = false;
  Driver driver(load);
  say(driver, request(noise(300, 1), 20));
  CHECK_EQUAL(driver.engine().stats().cellsHeld, 256u);
}

TEST("holders: the next turn of a chat goes on in the slot of the last one") {
  for (const char* model :
       {"tiny", "../architectures/gemma3", "../architectures/mamba", "../architectures/granitehybrid"}) {
    for (const char* layout : {"split", "unified"}) {
      LoadOptions load = options(model, 3);
      load.kvLayout = layout;
      Driver driver(load);
      Tokens chat = noise(200, 1);
      for (uint32_t turn = 0; turn < 4; ++turn) {
        const uint64_t before = driver.engine().stats().inPlaceTokens;
        const Heard& heard = say(driver, request(chat, 50));
        CHECK_EQUAL(driver.engine().stats().inPlaceTokens - before, heard.cachedTokens);
        if (turn > 0) CHECK(heard.cachedTokens + 40 + 1 + 2 * 64 > chat.size());
        for (uint32_t id : heard.ids) chat.push_back(id);
        chat = behind(chat, noise(40, turn));
      }
    }
  }
  // Whoever keeps no answers goes on from the prompt.
  LoadOptions load = options("tiny", 1);
  load.reuseGenerated = false;
  Driver driver(load);
  const Heard first = say(driver, request(noise(200, 1), 100));
  CHECK_EQUAL(driver.engine().stats().cellsHeld, 192u);
  Tokens chat = noise(200, 1);
  for (uint32_t id : first.ids) chat.push_back(id);
  CHECK_EQUAL(takes(driver, request(behind(chat, noise(70, 2)))), "192 192");
}

TEST("holders: a free slot goes before what is left in another, then what was used longest ago") {
  Driver driver(options("tiny", 3));
  const auto turn = [&](uint32_t salt) {
    return takes(driver, request(behind(noise(300, salt), noise(40, salt + 50))));
  };
  for (uint32_t salt = 1; salt <= 3; ++salt) say(driver, request(noise(300, salt)));
  CHECK_EQUAL(driver.engine().stats().cellsHeld, 3 * 256u);
  CHECK_EQUAL(turn(1), "256 256");
  say(driver, request(noise(300, 4)));
  CHECK_EQUAL(turn(3), "256 256");
  CHECK_EQUAL(turn(1), "256 256");
  // In host memory it still is.
  CHECK_EQUAL(turn(2), "256 0");
  CHECK_EQUAL(turn(4), "256 0");
}

TEST("holders: a long one is spared where a copy of the little in common does as well") {
  Driver driver(options("tiny", 2));
  say(driver, request(noise(700, 1)));
  CHECK_EQUAL(takes(driver, request(behind(noise(200, 1), noise(90, 2)))), "192 0");
  CHECK_EQUAL(takes(driver, request(behind(noise(700, 1), noise(90, 3)))), "640 640");
}

TEST("holders: they need no host memory, and are off where nothing is to be kept") {
  Driver tight(options("tiny", 1, 1000));
  say(tight, request(noise(300, 1)));
  CHECK_EQUAL(takes(tight, request(behind(noise(300, 1), noise(70, 2)))), "256 256");
  Driver off(options("tiny", 1, 0));
  say(off, request(noise(300, 1)));
  CHECK_EQUAL(off.engine().stats().cellsCounted, 0u);
  Driver driver(options("tiny", 1));
  SequenceRequest closed = request(noise(300, 1));
  closed.cachePrompt = false;
  say(driver, closed);
  CHECK_EQUAL(driver.engine().stats().cellsHeld, 0u);
  say(driver, request(noise(300, 1)));
  CHECK_EQUAL(takes(driver, closed), "0 0");
}

TEST("holders: labels are scored in the slot of those before, and alike") {
  for (const char* model : {"tiny", "../architectures/granitehybrid"}) {
    Driver driver(options(model, 2));
    Prompt prompt;
    prompt.kind = Prompt::Kind::Tokens;
    std::vector<float> first;
    for (int round = 0; round < 3; ++round) {
      prompt.tokens = noise(256, 1);
      prompt.tokens.push_back(7);
      const Result<uint32_t> job = driver.engine().classify(prompt, {"yes", "no", "none of them"});
      CHECK(job.ok());
      const JobRow row = driver.waitJob(job.value());
      CHECK(!row.error);
      if (round == 0) first = row.values;
      CHECK(row.values == first);
    }
    CHECK_EQUAL(driver.engine().stats().cachedTokens, 512u);
  }
}

TEST("holders: what is left between those that run is neither written over nor lost for a little padding") {
  const LoadOptions all = options("tiny", 3);
  const SequenceRequest next = request(behind(noise(300, 2), noise(90, 5)));
  const std::string expected = afresh(all, next);
  Driver driver(all);
  const uint32_t below = driver.submit(request(noise(300, 1), 400));
  driver.waitUntil([&] { return driver.heard(below).prefilled == 300; });
  const uint32_t between = driver.submit(request(noise(300, 2), 1));
  driver.waitUntil([&] { return driver.heard(between).order.size() > 0; });
  const uint32_t above = driver.submit(request(noise(300, 3), 300));
  driver.waitFinished(below);
  driver.waitFinished(above);
  CHECK(driver.heard(between).finished);
  const uint64_t before = driver.engine().stats().inPlaceTokens;
  CHECK_EQUAL(bitsOf(say(driver, next)), expected);
  CHECK_EQUAL(driver.engine().stats().inPlaceTokens - before, 256u);
}

TEST("holders: what others compute meanwhile changes nothing of what is left, with every kind of cache") {
  for (const char* model : {"tiny", "../architectures/gemma3", "../architectures/gpt-oss",
                            "../architectures/granitehybrid", "../architectures/mamba"}) {
    const LoadOptions all = options(model, 4);
    const SequenceRequest next = request(behind(noise(512, 2), noise(90, 5)));
    Driver driver(all);
    say(driver, request(noise(512, 2), 1));
    std::vector<uint32_t> others;
    for (uint32_t salt = 10; salt < 13; ++salt) others.push_back(driver.submit(request(noise(20 * salt, salt), 100)));
    for (const uint32_t id : others) driver.waitFinished(id);
    const uint64_t before = driver.engine().stats().inPlaceTokens;
    CHECK_EQUAL(model + bitsOf(say(driver, next)), model + afresh(all, next));
    CHECK_EQUAL(model + std::to_string(driver.engine().stats().inPlaceTokens - before), model + std::string("512"));
  }
}

TEST("holders: cells that slots share are given back to whoever needs them") {
  for (const char* model : {"scripted", "../architectures/gemma3", "../architectures/granitehybrid"}) {
    LoadOptions load = options(model, 4);
    load.kvLayout = "unified";
    load.contextTokens = 768;
    load.contextTokensPerSlot = 768;
    Driver driver(load);
    for (uint32_t salt = 1; salt <= 8; ++salt) {
      const Heard& heard = say(driver, request(noise(250 + 30 * salt, salt), 70));
      CHECK_EQUAL(heard.ids.size(), 70u);
      CHECK(driver.engine().stats().cellsCounted <= 768);
      CHECK(driver.engine().stats().cellsHeld > 0);
    }
    CHECK_EQUAL(say(driver, request(noise(500, 20), 268)).ids.size(), 268u);
    CHECK_EQUAL(driver.engine().stats().parked, 0u);
  }
}

TEST("holders: choices leave one behind, and all cells are accounted for") {
  for (const char* layout : {"split", "unified"}) {
    LoadOptions load = options("tiny", 3);
    load.kvLayout = layout;
    Driver driver(load);
    SequenceRequest several = request(noise(300, 1), 60);
    several.choices = 3;
    several.temperature = 2;
    several.seed = 3;
    const uint32_t first = driver.submit(several);
    for (uint32_t i = 0; i < 3; ++i) driver.waitFinished(first + i);
    EngineStats stats = driver.engine().stats();
    CHECK_EQUAL(stats.cellsCounted, stats.cellsRecounted);
    CHECK_EQUAL(stats.cellsHeld, stats.cellsCounted);
    CHECK(stats.cellsHeld > 0);
    CHECK_EQUAL(takes(driver, request(behind(noise(300, 1), noise(90, 3)))), "256 256");
    stats = driver.engine().stats();
    CHECK_EQUAL(stats.cellsCounted, stats.cellsRecounted);
  }
}
