// Answers in the prefix cache: the next turn of a chat finds the last one there.
#include <string>
#include <vector>

#include "driver.h"
#include "harness.h"

using namespace llamaestro;
using tests::bitsOf;
using tests::Driver;
using tests::Heard;
using tests::loadOptions;
using tests::noise;

namespace {

constexpr uint32_t kBegin = 1;
constexpr uint32_t kFirstByteToken = 3;
constexpr uint32_t kBlock = 64;

using Tokens = std::vector<double>;

LoadOptions options(const std::string& model, bool reuseGenerated = true, const std::string& layout = "split") {
  LoadOptions options = loadOptions(model);
  options.slots = 2;
  options.contextTokens = 2 * 1024;
  options.prefixCacheBytes = 256 << 20;
  options.reuseGenerated = reuseGenerated;
  options.kvLayout = layout;
  options.chunkTokens = 64;  // blocks are no larger than chunks, and slow machines choose smaller ones
  return options;
}

SequenceRequest request(const Tokens& tokens, double maxTokens) { return tests::tokensRequest(tokens, maxTokens, 1); }

// A prompt that the copier goes on with for ever: the same distinct bytes again and again.
Tokens cycle(uint32_t size, uint32_t count) {
  Tokens tokens = {kBegin};
  for (uint32_t i = 0; i < count; ++i) tokens.push_back(kFirstByteToken + i % size);
  return tokens;
}

Tokens nextTurn(Tokens tokens, const Heard& answer, const Tokens& question) {
  tokens.insert(tokens.end(), answer.ids.begin(), answer.ids.end());
  tokens.insert(tokens.end(), question.begin(), question.end());
  return tokens;
}

}  // namespace

TEST("answer reuse: the next turn takes over the last answer, in blocks or as a whole state") {
  struct Case {
    const char* model;
    const char* layout;
    uint32_t cached;
  };
  // 200 + 99 tokens are in the cache when the last of 100 has been drawn.
  for (const Case& one : {Case{"tiny", "split", 256},
                          {"tiny", "unified", 256},
                          {"../architectures/deepseek2", "split", 256},
                          {"../architectures/gemma3", "split", 299},
                          {"../architectures/gemma3", "unified", 299},
                          {"../architectures/mamba", "split", 299},
                          {"../architectures/granitehybrid", "split", 299}}) {
    Driver driver(options(one.model, true, one.layout));
    const Tokens question = noise(200, 1);
    const Heard first = driver.waitFinished(driver.submit(request(question, 100)));
    CHECK_EQUAL(first.ids.size(), 100u);
    const Heard& second = driver.waitFinished(driver.submit(request(nextTurn(question, first, noise(40, 2)), 20)));
    CHECK_EQUAL(one.model + std::to_string(second.cachedTokens), one.model + std::to_string(one.cached));
    CHECK_EQUAL(second.end.cachedTokens, one.cached);
    CHECK_EQUAL(second.ids.size(), 20u);
  }
}

TEST("answer reuse: a long chat says at every turn what it would say afresh") {
  for (const char* layout : {"split", "unified"}) {
    Driver driver(options("copier", true, layout));
    Tokens chat = cycle(50, 51);
    for (uint32_t turn = 0; turn < 8; ++turn) {
      const uint32_t length = 37 + 23 * turn % 64;
      const Heard& heard = driver.waitFinished(driver.submit(request(chat, length)));
      const uint32_t usable = static_cast<uint32_t>(chat.size() - 1) / kBlock * kBlock;
      // A chunk may be cut only where rows enough follow.
      if (turn > 0) CHECK(heard.cachedTokens <= usable && heard.cachedTokens + 2 * kBlock > chat.size() - 1);
      for (uint32_t id : heard.ids) {
        CHECK_EQUAL(id, kFirstByteToken + (chat.size() - 1) % 50);
        chat.push_back(id);
      }
    }
    CHECK(chat.size() > 400);
  }
}

TEST("answer reuse: exactly what is in the cache is kept, however the answer ends") {
  const auto blocksAfter = [](const SequenceRequest& asked) {
    Driver driver(options("scripted"));
    driver.waitFinished(driver.submit(asked));
    return driver.engine().stats().prefixBlocks;
  };
  // The last token of an answer is not computed ...
  CHECK_EQUAL(blocksAfter(request(noise(100, 0), 28)), 1u);
  CHECK_EQUAL(blocksAfter(request(noise(100, 0), 29)), 2u);
  // ... but for the end-of-generation token, which is none of its tokens, the one before it was.
  SequenceRequest ends = request(noise(100, 0), 500);
  ends.ignoreEos = false;
  Driver driver(options("scripted"));
  const size_t length = driver.waitFinished(driver.submit(ends)).ids.size();
  ends.prompt.tokens = noise(static_cast<uint32_t>(4 * kBlock - length), 0);
  CHECK_EQUAL(blocksAfter(ends), 4u);
  ends.prompt.tokens.pop_back();
  CHECK_EQUAL(blocksAfter(ends), 3u);
  // A job that scores labels goes back and forth behind its prompt.
  Prompt prompt;
  prompt.kind = Prompt::Kind::Tokens;
  prompt.tokens = noise(62, 3);
  const uint64_t before = driver.engine().stats().prefixBlocks;
  const Result<uint32_t> job = driver.engine().classify(prompt, {"long label one", "long label two", "other"});
  CHECK(job.ok());
  CHECK(!driver.waitJob(job.value()).error);
  CHECK_EQUAL(driver.engine().stats().prefixBlocks, before);
}

TEST("answer reuse: one that is cancelled, and each of several choices, leaves what it has computed") {
  Driver driver(options("copier"));
  const Tokens chat = cycle(60, 61);
  const uint32_t cancelled = driver.submit(request(chat, 900));
  driver.waitUntil([&] { return driver.heard(cancelled).ids.size() >= 200; });
  driver.engine().cancel(cancelled);
  const Heard& half = driver.waitFinished(cancelled);
  CHECK(half.end.reason == FinishReason::Cancelled);
  const Heard& next = driver.waitFinished(driver.submit(request(nextTurn(chat, half, {}), 30)));
  CHECK(next.cachedTokens >= 192);
  for (size_t i = 0; i < next.ids.size(); ++i) {
    CHECK_EQUAL(next.ids[i], kFirstByteToken + (chat.size() - 1 + half.ids.size() + i) % 60);
  }
  Driver random(options("tiny"));
  SequenceRequest several = request(noise(100, 4), 200);
  several.choices = 3;
  several.temperature = 2;
  several.seed = 7;
  const uint32_t first = random.submit(several);
  for (uint32_t id = first; id < first + 3; ++id) {
    const Heard answer = random.waitFinished(id);
    const Heard& turn =
        random.waitFinished(random.submit(request(nextTurn(several.prompt.tokens, answer, noise(70, 5)), 1)));
    CHECK_EQUAL(turn.cachedTokens, 256u);
  }
}

TEST("answer reuse: switched off, a turn is bit for bit what it is afresh, and no other engine's answers come in") {
  const std::string path = tests::scratchFolder() + "/answers";
  for (const char* model : {"tiny", "../architectures/granitehybrid"}) {
    const Tokens question = noise(300, 1);
    Heard first;
    std::string expected;
    Tokens turn;
    {
      Driver cold(options(model, false));
      first = cold.waitFinished(cold.submit(request(question, 100)));
      turn = nextTurn(question, first, noise(70, 2));
    }
    {
      LoadOptions without = options(model);
      without.prefixCacheBytes = 0;
      Driver driver(without);
      expected = bitsOf(driver.waitFinished(driver.submit(request(turn, 20))));
    }
    Driver driver(options(model, false));
    driver.waitFinished(driver.submit(request(question, 100)));
    const Heard& second = driver.waitFinished(driver.submit(request(turn, 20)));
    CHECK_EQUAL(second.cachedTokens, 256u);
    CHECK_EQUAL(bitsOf(second), expected);
  }
  Driver keeps(options("tiny"));
  Driver strict(options("tiny", false));
  keeps.waitFinished(keeps.submit(request(noise(100, 1), 100)));
  CHECK(keeps.engine().savePrefixes(path, std::nullopt).ok());
  const Result<PrefixFileSummary> refused = strict.engine().restorePrefixes(path);
  CHECK(!refused.ok());
  CHECK_EQUAL(strict.engine().stats().prefixBlocks, 0u);
  strict.waitFinished(strict.submit(request(noise(100, 6), 100)));
  CHECK(strict.engine().savePrefixes(path, std::nullopt).ok());
  CHECK_EQUAL(keeps.engine().restorePrefixes(path).value().tokens, 64u);
}

TEST("prefix cache: blocks are copied in the step that completes them, not when the sequence ends") {
  LoadOptions load = options("tiny");
  load.chunkTokens = 128;
  Driver driver(load);
  const uint32_t id = driver.submit(request(noise(800, 0), 200));
  driver.waitUntil([&] { return driver.heard(id).prefilled >= 128; });
  for (uint64_t blocks = 0; !driver.heard(id).finished;) {
    const EngineStats before = driver.engine().stats();
    driver.waitUntil([&] { return driver.engine().stats().steps > before.steps || driver.heard(id).finished; });
    const EngineStats after = driver.engine().stats();
    // The numbers of one reading are not of one moment: steps are read before blocks.
    const uint64_t steps = driver.engine().stats().steps - before.steps;
    CHECK(after.prefixBlocks <= before.prefixBlocks + 2 * (steps + 1));
    CHECK((before.promptTokens + before.generatedTokens) / kBlock <= before.prefixBlocks + 2);
    CHECK(after.prefixBlocks >= blocks);
    blocks = after.prefixBlocks;
  }
  CHECK_EQUAL(driver.engine().stats().prefixBlocks, 999u / kBlock);
}
