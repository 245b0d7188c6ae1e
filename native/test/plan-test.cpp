// Predicted bytes against allocated bytes, for every kind of model that scripts/make-models can write.
#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "driver.h"
#include "engine.h"
#include "harness.h"
#include "memory-plan.h"
#include "override-pattern.h"
#include "plan-cache.h"

using namespace llamaestro;
using tests::Driver;
using tests::loadOptions;

namespace {

struct Shape {
  const char* name;
  double slots;
  double tokensPerSlot;
  const char* kvType;
  const char* flash;
  const char* layout;
  double chunkTokens;
};

const Shape kShapes[] = {
    {"split", 4, 270, "f16", "auto", "split", 256},
    {"unified", 4, 270, "f16", "auto", "unified", 64},
    {"quantised cache", 2, 300, "q8_0", "on", "split", 256},
    {"without flash attention", 3, 100, "f16", "off", "split", 128},
    {"one long slot", 1, 600, "f32", "on", "unified", 512},
};

LoadOptions optionsOf(const std::string& model, const Shape& shape) {
  LoadOptions options = loadOptions(model);
  options.slots = shape.slots;
  options.contextTokens = shape.slots * shape.tokensPerSlot;
  options.kvTypeK = shape.kvType;
  options.kvTypeV = shape.kvType;
  options.flashAttention = shape.flash;
  options.kvLayout = shape.layout;
  options.chunkTokens = shape.chunkTokens;
  return options;
}

std::string bytesOf(const MemoryPlan& plan) {
  std::string text;
  for (const DeviceMemory& device : plan.devices) {
    text += device.device + ": " + std::to_string(device.weightsBytes) + " weights, " + std::to_string(device.kvBytes) +
            " cache, " + std::to_string(device.computeBytes) + " compute; ";
  }
  return text + std::to_string(plan.totalBytes) + " in all";
}

// Full chunks and some steps in every slot: buffers that grow with use would show.
void fillSlots(Driver& driver, double slots, double tokensPerSlot) {
  SequenceRequest request = tests::textRequest("", 6);
  request.prompt.kind = Prompt::Kind::Tokens;
  request.prompt.tokens.assign(static_cast<size_t>(tokensPerSlot) - 10, 5);
  request.ignoreEos = true;
  std::vector<uint32_t> ids;
  for (int i = 0; i < slots; ++i) {
    request.prompt.tokens.front() = 5 + i;  // nobody shares a prefix
    ids.push_back(driver.submit(request));
  }
  for (uint32_t id : ids) {
    const tests::Heard& heard = driver.waitFinished(id);
    if (heard.end.error) tests::failAt(__FILE__, __LINE__, heard.end.error->message);
    CHECK_EQUAL(heard.ids.size(), 6u);
  }
  driver.waitUntil([&] { return driver.engine().stats().running == 0; });
}

void checkPlanIsExact(const std::string& model, const Shape& shape) {
  const LoadOptions options = optionsOf(model, shape);
  const std::string name = model + ", " + shape.name + ": ";
  try {
    const Result<MemoryPlan> planned = planMemory(options);
    if (!planned.ok()) tests::failAt(__FILE__, __LINE__, planned.error().message);
    Driver driver(options);
    CHECK_EQUAL(bytesOf(driver.engine().memory()), bytesOf(planned.value()));
    fillSlots(driver, shape.slots, shape.tokensPerSlot);
    CHECK_EQUAL(bytesOf(driver.engine().memory()), bytesOf(planned.value()));
    CHECK_EQUAL(bytesOf(driver.engine().planned()), bytesOf(planned.value()));
    CHECK(planned.value().devices.front().weightsBytes > 0);
    CHECK(planned.value().outputBytes > 0);
  } catch (const tests::CheckFailed& failed) {
    throw tests::CheckFailed(name + failed.what());
  }
}

}  // namespace

TEST("plan: bytes predicted are the bytes allocated, for every architecture") {
  for (const char* model : {"llama", "llama-q4", "llama-moe", "qwen2", "qwen3", "qwen3moe", "gemma3", "gpt-oss",
                            "deepseek2", "mamba", "granitehybrid"}) {
    for (const Shape& shape : kShapes) checkPlanIsExact(std::string("../architectures/") + model, shape);
  }
  for (const Shape& shape : kShapes) checkPlanIsExact("tiny", shape);
}

TEST("plan: bytes predicted are the bytes allocated, for embedders and rerankers") {
  const auto check = [](const char* model, const char* purpose, double slots, double chunkTokens) {
    LoadOptions options = loadOptions(model, purpose);
    options.slots = slots;
    options.contextTokens = slots * 256;
    options.chunkTokens = chunkTokens;
    const std::string planned = bytesOf(planMemory(options).value());
    Driver driver(options);
    const bool embeds = options.purpose == "embed";
    const std::vector<std::string> texts(40, "some words and more words than before");
    driver.waitJob((embeds ? driver.engine().embed(texts) : driver.engine().rerank("words", texts)).value());
    CHECK_EQUAL(bytesOf(driver.engine().memory()), planned);
  };
  for (const double slots : {1, 4}) {
    for (const double chunkTokens : {64, 512}) {
      check("embedder", "embed", slots, chunkTokens);
      check("reranker", "rerank", slots, chunkTokens);
    }
  }
}

TEST("plan: the shape is what was asked for") {
  LoadOptions options = loadOptions("tiny");
  options.slots = 3;
  options.contextTokens = 1000;
  const MemoryPlan plan = planMemory(options).value();
  CHECK_EQUAL(plan.contextTokensPerSlot, 333u);
  CHECK_EQUAL(plan.contextTokens, 999u);
  CHECK_EQUAL(plan.slots, 3u);
  CHECK_EQUAL(plan.gpuLayers, 0u);
  CHECK(plan.simulatedMs > 0);
  options.purpose = "vocab";
  CHECK(planMemory(options).value().devices.empty());
}

TEST("plan: the same load is simulated once, another one again") {
  const std::string file = tests::scratchFolder() + "/model.gguf";
  std::filesystem::copy_file(tests::modelPath("tiny"), file);
  LoadOptions options = loadOptions("tiny");
  options.file = file;
  options.contextTokens = 700;
  const std::string first = bytesOf(planMemory(options).value());
  const uint64_t runs = simulationsRun();
  CHECK_EQUAL(bytesOf(planMemory(options).value()), first);
  CHECK_EQUAL(simulationsRun(), runs);
  options.threads = 2;  // decides no byte
  CHECK_EQUAL(bytesOf(planMemory(options).value()), first);
  CHECK_EQUAL(simulationsRun(), runs);
  options.contextTokens = 1700;
  CHECK(bytesOf(planMemory(options).value()) != first);
  CHECK_EQUAL(simulationsRun(), runs + 1);
  options.contextTokens = 700;
  const auto later = std::filesystem::last_write_time(file) + std::chrono::seconds(2);
  std::filesystem::last_write_time(file, later);
  CHECK_EQUAL(bytesOf(planMemory(options).value()), first);
  CHECK_EQUAL(simulationsRun(), runs + 2);
  std::filesystem::remove(file);
  CHECK_EQUAL(planMemory(options).error().code, "model_unusable");
}

TEST("plan: a file written over is looked at again, whatever its time says") {
  const std::string file = tests::scratchFolder() + "/model.gguf";
  std::filesystem::copy_file(tests::modelPath("tiny"), file);
  LoadOptions options = loadOptions("tiny");
  options.file = file;
  const std::string first = bytesOf(planMemory(options).value());
  const uint64_t runs = simulationsRun();
  const auto time = std::filesystem::last_write_time(file);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // clocks of file systems are coarse
  std::fstream(file, std::ios::binary | std::ios::in | std::ios::out) << "GGUF";
  std::filesystem::last_write_time(file, time);
  CHECK_EQUAL(bytesOf(planMemory(options).value()), first);
  CHECK_EQUAL(simulationsRun(), runs + 1);
}

TEST("plan: a file exchanged between its check and its simulation leaves nothing behind") {
  const std::string file = tests::scratchFolder() + "/model.gguf";
  std::filesystem::copy_file(tests::modelPath("tiny"), file);
  LoadOptions options = loadOptions("tiny");
  options.contextTokens = 900;
  const std::string wanted = bytesOf(planMemory(options).value());
  options.file = file;
  bool isExchanged = false;
  const auto exchange = [&] {
    if (isExchanged) return false;
    isExchanged = true;
    std::filesystem::rename(file, file + ".kept");
    std::filesystem::copy_file(tests::modelPath("../architectures/llama"), file);
    return false;
  };
  const auto never = [] { return false; };
  {
    const LoadTurn turn = takeLoadTurn(never);
    const uint64_t runs = simulationsRun();
    CHECK(bytesOf(makeLoadPlan(options, exchange).memory) != wanted);
    CHECK_EQUAL(simulationsRun(), runs);
  }
  std::filesystem::rename(file + ".kept", file);
  CHECK_EQUAL(bytesOf(planMemory(options).value()), wanted);
}

TEST("plan: the cache holds so many entries, the oldest goes first") {
  BoundedCache<int> cache(2);
  cache.put("a", 1);
  cache.put("b", 2);
  cache.put("a", 3);
  cache.put("c", 4);
  CHECK(cache.find("b") == nullptr);
  CHECK_EQUAL(*cache.find("a"), 3);
  CHECK_EQUAL(*cache.find("c"), 4);
}

TEST("plan: experts of some layers on the CPU change nothing where there is only the CPU") {
  LoadOptions options = loadOptions("../architectures/qwen3moe");
  options.contextTokens = 512;
  const std::string plain = bytesOf(planMemory(options).value());
  options.cpuMoeLayers = 5;
  options.tensorOverrides = {{"^blk\\.7\\.attn", "cpu"}};
  CHECK_EQUAL(bytesOf(planMemory(options).value()), plain);
  Driver driver(options);
  CHECK_EQUAL(bytesOf(driver.engine().memory()), plain);
}

TEST("plan: places that cannot be are refused with the name of the field") {
  const auto refused = [](const std::function<void(LoadOptions&)>& change) {
    LoadOptions options = loadOptions("tiny");
    change(options);
    const Result<MemoryPlan> plan = planMemory(options);
    return plan.ok() ? "ok" : plan.error().code + " " + plan.error().param;
  };
  CHECK_EQUAL(refused([](LoadOptions& o) { o.devices = std::vector<std::string>(1); }), "invalid_request devices");
  CHECK_EQUAL(refused([](LoadOptions& o) { o.devices = std::vector<std::string>(); }), "ok");
  CHECK_EQUAL(refused([](LoadOptions& o) { o.devices = std::vector<std::string>(1, "cuda77"); }),
              "invalid_request devices");
  CHECK_EQUAL(refused([](LoadOptions& o) { o.devices = std::vector<std::string>(17, "a"); }),
              "invalid_request devices");
  CHECK_EQUAL(refused([](LoadOptions& o) { o.splitMode = "columns"; }), "invalid_request splitMode");
  CHECK_EQUAL(refused([](LoadOptions& o) { o.mainDevice = "cuda0"; }), "invalid_request mainDevice");
  CHECK_EQUAL(refused([](LoadOptions& o) { o.tensorSplit = {1, 1}; }), "invalid_request tensorSplit");
  CHECK_EQUAL(refused([](LoadOptions& o) { o.tensorSplit = {0}; }), "invalid_request tensorSplit");
  CHECK_EQUAL(refused([](LoadOptions& o) { o.cpuMoeLayers = 513; }), "invalid_request cpuMoeLayers");
  CHECK_EQUAL(refused([](LoadOptions& o) {
                o.tensorOverrides = {{"x", "cuda77"}};
              }),
              "invalid_request tensorOverrides");
  CHECK_EQUAL(refused([](LoadOptions& o) {
                o.tensorOverrides = {{"(a+)+", "cpu"}};
              }),
              "invalid_request tensorOverrides");
}

TEST("plan: patterns that could run away are refused") {
  for (const char* good : {"blk", "^blk\\.(1|2|3)\\.ffn_(up|down|gate|gate_up)_(ch|)exps", "exps\\.weight$",
                           "blk\\.[0-9]+\\..*attn", "(?:a|b)?", "a{1,3}b?", "a{99}b{1,99}", "\\d+"}) {
    CHECK_EQUAL(std::string(good) + patternFault(good), good);
  }
  for (const char* bad : {"",
                          "(a+)+",
                          "(a|a)*",
                          "a**",
                          "a+?",
                          "a*b*c*d*",
                          "(a",
                          "a)",
                          "[^a",
                          "[[:alpha:]]",
                          "(?=a)",
                          "(a)\\1",
                          "a{2",
                          "{2}",
                          "*",
                          "a\n",
                          "\\",
                          "a{1,2}{3}",
                          "((((((((( a )))))))))",
                          "[z-a]",
                          "a{100}",
                          "a{1,99999}",
                          "a{0000000000000000000000000000100}",
                          "a{,}"}) {
    CHECK(!patternFault(bad).empty());
  }
  CHECK_EQUAL(patternFault("a{99}b{1,100}"), "has a repeat count above 99");
  CHECK(!patternFault(std::string(300, 'a')).empty());
}
