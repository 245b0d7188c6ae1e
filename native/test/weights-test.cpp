#include <filesystem>
#include <fstream>
#include <thread>

#include "driver.h"
#include "engine.h"
#include "harness.h"

using namespace llamaestro;
using tests::Driver;
using tests::loadOptions;

namespace {

uint64_t weightsOf(const MemoryPlan& plan) {
  uint64_t bytes = 0;
  for (const DeviceMemory& device : plan.devices) bytes += device.weightsBytes;
  return bytes;
}

std::string answer(Driver& driver) {
  SequenceRequest request = tests::textRequest("Hello", 24);
  request.temperature = 0;
  request.ignoreEos = true;
  return driver.waitFinished(driver.submit(request)).text;
}

void copyTo(const std::string& path, const std::string& model) {
  std::ofstream(path, std::ios::binary) << std::ifstream(loadOptions(model).file, std::ios::binary).rdbuf();
}

}  // namespace

TEST("weights: engines that load a file alike share them, and they are counted once") {
  LoadOptions options = loadOptions("tiny");
  options.contextTokens = 512;
  auto first = std::make_unique<Driver>(options);
  const uint64_t bytes = weightsOf(first->engine().memory());
  CHECK(bytes > 0);
  CHECK(!first->engine().planned().sharesWeights);
  const std::string text = answer(*first);

  options.contextTokens = 1024;
  options.slots = 2;
  const MemoryPlan plan = planMemory(options).value();
  CHECK(plan.sharesWeights);
  CHECK_EQUAL(weightsOf(plan), uint64_t{0});
  Driver second(options);
  CHECK_EQUAL(second.engine().planned().totalBytes, plan.totalBytes);
  CHECK_EQUAL(second.engine().memory().totalBytes, plan.totalBytes);
  CHECK(second.engine().memory().sharesWeights);
  CHECK_EQUAL(weightsOf(first->engine().memory()), bytes);

  std::string beside;
  std::thread other([&] { beside = answer(*first); });
  CHECK_EQUAL(answer(second), text);
  other.join();
  CHECK_EQUAL(beside, text);

  first.reset();
  CHECK_EQUAL(answer(second), text);
  CHECK_EQUAL(weightsOf(second.engine().memory()), bytes);
  CHECK(!second.engine().memory().sharesWeights);
  CHECK_EQUAL(second.engine().memory().totalBytes, plan.totalBytes + bytes);

  second.engine().close();
  CHECK(!planMemory(options).value().sharesWeights);
}

TEST("weights: another way of loading, or a file that has changed, is another copy") {
  LoadOptions options = loadOptions("tiny");
  options.file = tests::scratchFolder() + "/shared.gguf";
  copyTo(options.file, "tiny");
  const Driver first(options);
  LoadOptions mapped = options;
  mapped.mmap = true;
  CHECK(!planMemory(mapped).value().sharesWeights);
  CHECK(planMemory(options).value().sharesWeights);
  copyTo(options.file, "tiny");
  CHECK(!planMemory(options).value().sharesWeights);
}

TEST("weights: engines that share them come and go on many threads") {
  LoadOptions options = loadOptions("scripted");
  options.contextTokens = 256;
  Driver expected(options);
  const std::string text = answer(expected);
  std::vector<std::thread> threads;
  std::atomic<int> equal{0};
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&] {
      for (int turn = 0; turn < 4; ++turn) {
        Driver driver(options);
        if (answer(driver) == text) ++equal;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK_EQUAL(equal.load(), 16);
}

TEST("weights: an embedder's are shared too") {
  LoadOptions options = loadOptions("embedder", "embed");
  Driver first(options);
  Driver second(options);
  CHECK(second.engine().planned().sharesWeights);
  const auto vector = [](Driver& driver) { return driver.waitJob(driver.engine().embed({"a text"}).value()).values; };
  CHECK(vector(first) == vector(second));
}

TEST("weights: a file that was written over is not the one that is loaded, whatever its time says") {
  const std::string file = tests::scratchFolder() + "/model.gguf";
  copyTo(file, "tiny");
  LoadOptions options = loadOptions("tiny");
  options.contextTokens = 256;
  options.file = file;
  Driver first(options);
  CHECK(planMemory(options).value().sharesWeights);
  const auto time = std::filesystem::last_write_time(file);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // clocks of file systems are coarse
  {
    std::fstream bytes(file, std::ios::binary | std::ios::in | std::ios::out);
    bytes.seekp(-1, std::ios::end);
    bytes.put('x');
  }
  std::filesystem::last_write_time(file, time);
  CHECK(!planMemory(options).value().sharesWeights);
}
