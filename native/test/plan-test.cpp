// Predicted bytes against allocated bytes, for every kind of model that scripts/make-models can write.
#include "driver.h"
#include "engine.h"
#include "harness.h"

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
  for (const char* model : {"tiny", "scripted", "prefill"}) {
    for (const Shape& shape : kShapes) checkPlanIsExact(model, shape);
  }
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
