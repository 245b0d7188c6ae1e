// Memory that runs out on an engine's own thread, at every place in turn: each request ends with a word, and the next
// one is served.
#include <atomic>
#include <cstdlib>
#include <new>

#include "driver.h"
#include "harness.h"
#include "insist.h"

using namespace llamaestro;
using tests::Driver;
using tests::Heard;
using tests::loadOptions;

namespace {

// Allocations of other threads than the one that armed it; the one that brings this to 0 fails.
std::atomic<int64_t> failsAt{0};
thread_local bool isSpared = false;

bool mustFail() { return failsAt.load() > 0 && !isSpared && failsAt.fetch_sub(1) == 1; }

void* allocate(size_t bytes) { return mustFail() ? nullptr : malloc(bytes > 0 ? bytes : 1); }

void* allocateOrThrow(size_t bytes) {
  void* memory = allocate(bytes);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

SequenceRequest request(uint32_t salt) {
  SequenceRequest request = tests::textRequest("", 8);
  request.prompt.kind = Prompt::Kind::Tokens;
  for (uint32_t i = 0; i < 60; ++i) request.prompt.tokens.push_back(5 + (i * 7 + salt * 3) % 90);
  request.temperature = 0;
  request.ignoreEos = true;
  request.logprobs = 1;
  return request;
}

}  // namespace

// All that belong together: a sanitizer's own beside them would miss their other half.
void* operator new(size_t bytes) { return allocateOrThrow(bytes); }
void* operator new[](size_t bytes) { return allocateOrThrow(bytes); }
void* operator new(size_t bytes, const std::nothrow_t&) noexcept { return allocate(bytes); }
void* operator new[](size_t bytes, const std::nothrow_t&) noexcept { return allocate(bytes); }
void operator delete(void* memory) noexcept { free(memory); }
void operator delete[](void* memory) noexcept { free(memory); }
void operator delete(void* memory, size_t) noexcept { free(memory); }
void operator delete[](void* memory, size_t) noexcept { free(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { free(memory); }
void operator delete[](void* memory, const std::nothrow_t&) noexcept { free(memory); }

TEST("allocation: whichever one fails while sequences run, each of them ends, and the next says what it says") {
  isSpared = true;
  LoadOptions options = loadOptions("tiny");
  options.slots = 3;
  options.contextTokens = 3 * 256;
  options.chunkTokens = 32;
  std::string wanted;
  uint32_t refused = 0;
  for (int64_t at = 0; at < 4000; at = at + 1 + at / 12) {
    Driver driver(options);
    if (at == 0) wanted = tests::bitsOf(driver.waitFinished(driver.submit(request(0))));
    std::vector<uint32_t> ids;
    failsAt.store(at);
    for (uint32_t salt = 1; salt < 4; ++salt) ids.push_back(driver.submit(request(salt)));
    SequenceRequest several = request(5);
    several.choices = 3;
    ids.push_back(driver.submit(several));
    ids.push_back(ids.back() + 1);
    ids.push_back(ids.back() + 1);
    ids.push_back(driver.engine().classify(request(4).prompt, {"zqb", "zqc", "zxb", "zxc"}).value());
    const JobRow scores = driver.waitJob(ids.back());
    ids.pop_back();
    if (scores.error) CHECK(scores.error->code == codes::kOutOfMemory || scores.error->code == codes::kInternal);
    for (const uint32_t id : ids) {
      const Heard& heard = driver.waitFinished(id);
      if (!heard.end.error) continue;
      CHECK(heard.end.error->code == codes::kOutOfMemory || heard.end.error->code == codes::kInternal);
      ++refused;
    }
    failsAt.store(0);
    CHECK_EQUAL(tests::bitsOf(driver.waitFinished(driver.submit(request(0)))), wanted);
    CHECK_EQUAL(driver.engine().stats().waiting + driver.engine().stats().running, 0u);
  }
  isSpared = false;
  CHECK(refused > 0);
}

TEST("allocation: whichever one fails while vectors are computed, the job ends, and the next one is served") {
  isSpared = true;
  Driver driver(loadOptions("embedder", "embed"));
  const std::vector<std::string> texts = {"one thing", "another thing altogether"};
  const std::vector<float> wanted = driver.waitJob(driver.engine().embed(texts).value()).values;
  uint32_t refused = 0;
  for (int64_t at = 1; at < 1000; at = at + 1 + at / 6) {
    failsAt.store(at);
    const JobRow row = driver.waitJob(driver.engine().embed(texts).value());
    failsAt.store(0);
    if (row.error) ++refused;
    CHECK(driver.waitJob(driver.engine().embed(texts).value()).values == wanted);
  }
  isSpared = false;
  CHECK(refused > 0);
}

TEST("allocation: what must happen is tried again until there is memory") {
  int tries = 0;
  insist([&] {
    if (++tries < 3) throw std::bad_alloc();
  });
  CHECK_EQUAL(tries, 3);
}
