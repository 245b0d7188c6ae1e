// The thread count may change between two steps: what is said must not tell.
#include <string>
#include <vector>

#include "driver.h"
#include "harness.h"

using namespace llamaestro;
using tests::bitsOf;
using tests::Driver;
using tests::loadOptions;

namespace {

struct Case {
  const char* name;
  const char* flash;
  const char* kvType;
  double streams;  // that run beside each other
  uint32_t promptTokens;
};

// With flash attention a lonely token over many cells is left out: there the sum depends on the threads, and the count
// stays.
const Case kCases[] = {{"short, alone", "on", "f16", 1, 120},
                       {"without flash attention", "off", "f16", 1, 500},
                       {"quantised cache", "on", "q8_0", 1, 500},
                       {"three beside each other", "on", "f16", 3, 500}};

std::string saidWith(const std::string& model, const Case& one, double threads) {
  LoadOptions options = loadOptions(model);
  options.slots = one.streams;
  options.contextTokens = one.streams * 1024;
  options.kvLayout = "split";
  options.kvTypeK = one.kvType;
  options.kvTypeV = one.kvType;
  options.flashAttention = one.flash;
  options.chunkTokens = 128;
  options.threads = threads;
  options.prefixCacheBytes = 0;
  Driver driver(options);
  SequenceRequest request = tests::textRequest("", 12);
  request.prompt.kind = Prompt::Kind::Tokens;
  for (uint32_t i = 0; i < one.promptTokens; ++i) request.prompt.tokens.push_back(5 + i * 7 % 90);
  request.temperature = 0;
  request.ignoreEos = true;
  request.logprobs = 1;
  request.choices = one.streams;  // of one prompt: none of them is ever alone
  const uint32_t first = driver.submit(request);
  std::string said;
  for (uint32_t stream = 0; stream < one.streams; ++stream) said += bitsOf(driver.waitFinished(first + stream)) + "\n";
  CHECK_EQUAL(driver.engine().stats().threads, static_cast<uint32_t>(threads));
  return said;
}

}  // namespace

TEST("step threads: the same bits with any number of them, wherever the number may change") {
  for (const char* model : {"llama-q4", "qwen3moe", "gemma3", "granitehybrid"}) {
    for (const Case& one : kCases) {
      const std::string path = std::string("../architectures/") + model;
      const std::string wanted = saidWith(path, one, 1);
      if (saidWith(path, one, 3) != wanted) tests::failAt(__FILE__, __LINE__, std::string(model) + ", " + one.name);
    }
  }
}
