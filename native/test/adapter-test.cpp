// LoRA adapters through a whole engine: what a request says with its set of adapters is what it says alone with it,
// whoever else runs and whatever the prefix cache knows.
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "adapter-files.h"
#include "driver.h"
#include "harness.h"

using namespace llamaestro;
using tests::AdapterSpec;
using tests::bitsOf;
using tests::checkSame;
using tests::Driver;
using tests::Heard;
using tests::loadOptions;
using tests::writeAdapter;

namespace {

using Uses = std::vector<AdapterUse>;

const Uses kNone;
const Uses kA{{"a", {}}};
const Uses kB{{"b", {}}};
const Uses kHalfA{{"a", 0.5}};
const Uses kBoth{{"a", {}}, {"b", -1}};

// Of the names of tensors that adapters can change; recurrent layers have others too.
std::string partOf(const std::string& model) {
  const bool isRecurrent = model.find("mamba") != std::string::npos || model.find("granite") != std::string::npos;
  return isRecurrent ? "ssm_in" : "blk.";
}

LoadOptions options(double slots, const std::string& model = "tiny", const std::string& layout = "split") {
  static std::map<std::string, std::pair<std::string, std::string>> files;
  LoadOptions options = loadOptions(model);
  options.slots = slots;
  options.contextTokens = slots * 1024;
  options.kvLayout = layout;
  options.chunkTokens = 128;
  options.prefixCacheBytes = 64 << 20;
  auto& [a, b] = files[model];
  AdapterSpec spec;
  spec.model = model;
  spec.gain = 0.2f;
  spec.part = partOf(model);
  if (a.empty()) a = writeAdapter(spec);
  spec.seed = 2;
  spec.rank = 32;
  spec.type = GGML_TYPE_Q8_0;
  if (b.empty()) b = writeAdapter(spec);
  options.adapters = {{"a", a}, {"b", b}};
  return options;
}

SequenceRequest request(const Uses& lora, uint32_t promptTokens = 40, double maxTokens = 24, uint32_t salt = 0) {
  SequenceRequest request;
  request.prompt.kind = Prompt::Kind::Tokens;
  for (uint32_t i = 0; i < promptTokens; ++i) request.prompt.tokens.push_back(5 + (i * 7 + i / 13 * 3 + salt) % 90);
  request.maxTokens = maxTokens;
  request.temperature = 0;
  request.ignoreEos = true;
  request.logprobs = 2;
  request.lora = lora;
  return request;
}

// To the last bit.
std::string alone(LoadOptions options, const SequenceRequest& request) {
  options.prefixCacheBytes = 0;
  Driver driver(options);
  return bitsOf(driver.waitFinished(driver.submit(request)));
}

std::string refusal(const Result<uint32_t>& result) {
  return result.ok() ? "ok" : result.error().code + " " + result.error().param;
}

uint64_t computeBytes(const MemoryPlan& plan) { return plan.devices.back().computeBytes; }

}  // namespace

TEST("adapters: each set says something of its own, and a scale of zero is none at all") {
  Driver driver(options(1));
  const auto says = [&](const Uses& lora) { return bitsOf(driver.waitFinished(driver.submit(request(lora)))); };
  LoadOptions plain = options(1);
  plain.adapters.clear();
  const std::string base = alone(plain, request(kNone));
  CHECK_EQUAL(says(kNone), base);
  CHECK_EQUAL(says({{"a", 0.0}, {"b", 0.0}}), base);
  const std::vector<std::string> texts = {base, says(kA), says(kB), says(kHalfA), says(kBoth)};
  for (size_t i = 0; i < texts.size(); ++i) {
    CHECK(!texts[i].empty());
    for (size_t j = 0; j < i; ++j) CHECK(texts[i] != texts[j]);
  }
  CHECK_EQUAL(says({{"b", -1}, {"a", {}}}), texts[4]);
  CHECK_EQUAL(says(kNone), base);
}

TEST("adapters: requests with different sets beside each other say what each says alone") {
  for (const char* model : {"tiny", "../architectures/gemma3", "../architectures/granitehybrid"}) {
    for (const char* layout : {"split", "unified"}) {
      const LoadOptions all = options(4, model, layout);
      Driver driver(all);
      Driver solo(all);
      std::vector<uint32_t> ids;
      const std::vector<Uses> sets = {kA, kNone, kB, kA, kBoth, kNone};
      for (uint32_t i = 0; i < sets.size(); ++i) ids.push_back(driver.submit(request(sets[i], 30 + 60 * i, 20, i)));
      for (uint32_t i = 0; i < sets.size(); ++i) {
        const SequenceRequest same = request(sets[i], 30 + 60 * i, 20, i);
        checkSame(driver.waitFinished(ids[i]), solo.waitFinished(solo.submit(same)),
                  std::string(model) + ", " + layout + ", number " + std::to_string(i));
      }
    }
  }
}

TEST("adapters: what was computed with one set serves no other one") {
  for (const char* model : {"tiny", "../architectures/gemma3", "../architectures/mamba"}) {
    const LoadOptions all = options(1, model);
    LoadOptions without = all;
    without.prefixCacheBytes = 0;
    Driver driver(all);
    Driver cold(without);
    const auto ask = [](Driver& one, const Uses& lora) { return one.waitFinished(one.submit(request(lora, 300, 6))); };
    for (const Uses& lora : {kA, kNone, kB, kHalfA, kBoth}) {
      const Heard first = ask(driver, lora);
      CHECK_EQUAL(first.cachedTokens, 0u);
      CHECK_EQUAL(bitsOf(first), bitsOf(ask(cold, lora)));
    }
    for (const Uses& lora : {kHalfA, kNone, kA, kB, kBoth}) {
      const Heard again = ask(driver, lora);
      CHECK(again.cachedTokens >= 192);
      CHECK_EQUAL(bitsOf(again), bitsOf(ask(cold, lora)));
    }
    CHECK(ask(driver, {{"b", 0.0}}).cachedTokens >= 192);
  }
}

TEST("adapters: only a prompt of the same set is waited for and taken over while it runs") {
  for (const char* model : {"tiny", "../architectures/gemma3"}) {
    Driver driver(options(4, model));
    std::vector<uint32_t> ids;
    const std::vector<Uses> sets = {kA, kNone, kB, kA};
    for (const Uses& lora : sets) ids.push_back(driver.submit(request(lora, 700, 4)));
    for (size_t i = 0; i < ids.size(); ++i) {
      const Heard& heard = driver.waitFinished(ids[i]);
      CHECK_EQUAL(heard.cachedTokens > 0, i == 3);
      CHECK_EQUAL(bitsOf(heard), alone(options(1, model), request(sets[i], 700, 4)));
    }
  }
}

TEST("adapters: a saved prefix comes back for its own set, in an engine that has the same file under another name") {
  const LoadOptions all = options(1);
  const std::string file = tests::scratchFolder() + "/prefixes";
  {
    Driver first(all);
    first.waitFinished(first.submit(request(kA, 600, 4)));
    CHECK(first.engine().savePrefixes(file, {}).ok());
  }
  LoadOptions renamed = all;
  renamed.adapters = {{"b", all.adapters[1].file}, {"other", all.adapters[0].file}};
  Driver second(renamed);
  CHECK(second.engine().restorePrefixes(file).ok());
  for (const Uses& lora : {kNone, kB}) {
    CHECK_EQUAL(second.waitFinished(second.submit(request(lora, 600, 4))).cachedTokens, 0u);
  }
  const Heard& same = second.waitFinished(second.submit(request({{"other", {}}}, 600, 4)));
  CHECK(same.cachedTokens >= 384);
  CHECK_EQUAL(bitsOf(same), alone(all, request(kA, 600, 4)));
}

TEST("adapters: choices, a cancelled neighbour and a parked sequence keep their sets") {
  LoadOptions narrow = options(4, "tiny", "unified");
  narrow.contextTokens = 512;
  narrow.contextTokensPerSlot = 400;
  Driver driver(narrow);
  SequenceRequest several = request(kA, 60, 60);
  several.choices = 3;
  const uint32_t first = driver.submit(several);
  const uint32_t other = driver.submit(request(kNone, 100, 200, 1));
  const uint32_t cancelled = driver.submit(request(kB, 50, 200, 2));
  const uint32_t late = driver.submit(request(kB, 90, 250, 3));
  driver.waitUntil([&] { return driver.heard(cancelled).ids.size() > 5; });
  driver.engine().cancel(cancelled);
  CHECK(driver.waitFinished(cancelled).end.reason == FinishReason::Cancelled);
  Driver solo(narrow);
  const auto checkAlone = [&](uint32_t id, const SequenceRequest& one, const std::string& what) {
    checkSame(driver.waitFinished(id), solo.waitFinished(solo.submit(one)), what);
  };
  for (uint32_t choice = 0; choice < 3; ++choice) checkAlone(first + choice, request(kA, 60, 60), "a choice");
  checkAlone(other, request(kNone, 100, 200, 1), "the neighbour");
  checkAlone(late, request(kB, 90, 250, 3), "the late one");
  CHECK(driver.engine().stats().parked > 0);
}

TEST("adapters: nobody waits for the end of another set") {
  Driver driver(options(3));
  const uint32_t endless = driver.submit(request(kA, 20, 900));
  driver.waitUntil([&] { return driver.heard(endless).ids.size() > 3; });
  const uint32_t plain = driver.submit(request(kNone, 300, 20));
  const uint32_t other = driver.submit(request(kB, 300, 20));
  driver.waitFinished(plain);
  driver.waitFinished(other);
  CHECK(!driver.heard(endless).finished);
  driver.engine().cancel(endless);
  driver.waitFinished(endless);
}

TEST("adapters: labels and vectors are computed with the set that was asked for") {
  LoadOptions generating = options(2);
  AdapterSpec output;
  output.part = "output.weight";
  generating.adapters[0].file = writeAdapter(output);
  Driver driver(generating);
  const std::vector<std::string> labels = {"alpha", "beta", "gamma"};
  const auto scores = [&](const Uses& lora) {
    return driver.waitJob(driver.engine().classify(request(kNone).prompt, labels, lora).value()).values;
  };
  const std::vector<float> base = scores(kNone);
  CHECK(scores(kA) != base);
  CHECK(scores({{"a", 0.0}}) == base);
  CHECK_EQUAL(refusal(driver.engine().classify(request(kNone).prompt, labels, {{"c", {}}})), "invalid_request lora");

  LoadOptions embedder = options(1, "embedder");
  embedder.purpose = "embed";
  embedder.contextTokens = 512;
  embedder.chunkTokens = std::nullopt;
  embedder.kvLayout = "";
  Driver pooled(embedder);
  const auto ask = [&](const Uses& lora) {
    EmbedOptions options;
    options.lora = lora;
    return pooled.engine().embed({"one thing", "another thing altogether"}, options).value();
  };
  const std::vector<Uses> sets = {kNone, kA, kNone, kB, kA};
  std::vector<uint32_t> jobs;
  for (const Uses& lora : sets) jobs.push_back(ask(lora));
  std::vector<std::vector<float>> together;
  for (uint32_t job : jobs) together.push_back(pooled.waitJob(job).values);
  CHECK(together[0] != together[1]);
  CHECK(together[1] != together[3]);
  for (size_t i = 0; i < sets.size(); ++i) {
    const std::vector<float> solo = pooled.waitJob(ask(sets[i])).values;
    CHECK_EQUAL(solo.size(), together[i].size());
    for (size_t at = 0; at < solo.size(); ++at) CHECK(std::abs(solo[at] - together[i][at]) < 1e-4f);
  }
}

TEST("adapters: planned bytes are allocated bytes, whatever they are made of") {
  struct Case {
    const char* model;
    const char* layout;
    ggml_type type;
    int64_t rank;
  };
  for (const Case& one : {Case{"tiny", "split", GGML_TYPE_F32, 4},
                          {"tiny", "unified", GGML_TYPE_Q8_0, 32},
                          {"../architectures/llama-moe", "split", GGML_TYPE_F16, 5},
                          {"../architectures/gemma3", "unified", GGML_TYPE_BF16, 64},
                          {"../architectures/granitehybrid", "split", GGML_TYPE_F32, 16}}) {
    LoadOptions with = options(3, one.model, one.layout);
    AdapterSpec spec;
    spec.model = one.model;
    spec.part = partOf(one.model);
    spec.type = one.type;
    spec.rank = one.rank;
    with.adapters.push_back({"c", writeAdapter(spec)});
    LoadOptions without = with;
    without.adapters.clear();
    const MemoryPlan plain = planMemory(without).value();
    const Result<MemoryPlan> planned = planMemory(with);
    if (!planned.ok()) tests::failAt(__FILE__, __LINE__, planned.error().message);
    const MemoryPlan& plan = planned.value();
    CHECK(plan.devices.back().weightsBytes > plain.devices.back().weightsBytes);
    CHECK(computeBytes(plan) >= computeBytes(plain));
    Driver driver(with);
    const MemoryPlan loaded = driver.engine().memory();
    CHECK_EQUAL(loaded.devices.back().weightsBytes, plan.devices.back().weightsBytes);
    CHECK_EQUAL(loaded.devices.back().kvBytes, plan.devices.back().kvBytes);
    CHECK_EQUAL(computeBytes(loaded), computeBytes(plan));
    CHECK_EQUAL(loaded.totalBytes, plan.totalBytes);
    for (const Uses& lora : {kNone, kA, kBoth}) {
      driver.waitFinished(driver.submit(request(lora, 300, 4)));
      driver.waitUntil([&] { return driver.engine().stats().running == 0; });
      CHECK(computeBytes(driver.engine().memory()) <= computeBytes(plan));
    }
  }
}

TEST("adapters: engines with the same ones share weights, others do not") {
  Driver first(options(1));
  CHECK(planMemory(options(2)).value().sharesWeights);
  Driver second(options(1));
  CHECK(second.engine().memory().sharesWeights);
  CHECK_EQUAL(bitsOf(second.waitFinished(second.submit(request(kB)))),
              bitsOf(first.waitFinished(first.submit(request(kB)))));
  LoadOptions fewer = options(1);
  fewer.adapters.pop_back();
  CHECK(!planMemory(fewer).value().sharesWeights);
  first.engine().close();
  CHECK(!second.engine().memory().sharesWeights);
  second.waitFinished(second.submit(request(kA)));
}

TEST("adapters: sets that come in turn sit together, so that each is computed in one call a step") {
  const LoadOptions all = options(6);
  Driver solo(all);
  Driver driver(all);
  const std::vector<Uses> sets = {kA, kNone, kA, kNone, kA, kNone};
  constexpr double kTokens = 100;
  std::vector<uint32_t> ids;
  for (uint32_t i = 0; i < sets.size(); ++i) ids.push_back(driver.submit(request(sets[i], 40, kTokens, i)));
  for (uint32_t i = 0; i < sets.size(); ++i) {
    const SequenceRequest same = request(sets[i], 40, kTokens, i);
    checkSame(driver.waitFinished(ids[i]), solo.waitFinished(solo.submit(same)), "number " + std::to_string(i));
  }
  // Two sets, a step each per token; prompts and the first steps, in which not all have theirs done, come on top.
  CHECK(driver.engine().stats().steps < 3 * static_cast<uint64_t>(kTokens));
}
