// Every kind of cache: a prompt whose beginning is known says what it says without.
#include <string>
#include <vector>

#include "driver.h"
#include "harness.h"
#include "prefix-snapshots.h"
#include "whole-states.h"

using namespace llamaestro;
using tests::bitsOf;
using tests::Driver;
using tests::Heard;
using tests::loadOptions;

namespace {

LoadOptions options(const std::string& architecture, double slots, double prefixCacheBytes) {
  LoadOptions options = loadOptions("../architectures/" + architecture);
  options.slots = slots;
  options.contextTokens = slots * 1024;
  options.chunkTokens = 128;
  options.prefixCacheBytes = prefixCacheBytes;
  return options;
}

SequenceRequest request(uint32_t shared, uint32_t total, uint32_t salt) {
  SequenceRequest request;
  request.prompt.kind = Prompt::Kind::Tokens;
  for (uint32_t i = 0; i < total; ++i) {
    request.prompt.tokens.push_back(5 + (i * 7 + i / 13 * 3 + (i < shared ? 0 : (salt + 1) * 31)) % 100);
  }
  request.maxTokens = 6;
  request.temperature = 0;
  request.ignoreEos = true;
  request.logprobs = 2;
  return request;
}

PrefixSnapshot snapshotOf(uint32_t count, size_t bytes, int32_t first = 0) {
  PrefixSnapshot snapshot;
  for (uint32_t i = 0; i < count; ++i) snapshot.tokens.push_back(static_cast<int32_t>(i) + first);
  snapshot.bytes.resize(bytes);
  return snapshot;
}

}  // namespace

TEST("prefix states: every architecture says the same with a known beginning, to the last bit") {
  for (const char* architecture : {"llama", "llama-q4", "llama-moe", "qwen2", "qwen3", "qwen3moe", "deepseek2",
                                   "gemma3", "gpt-oss", "granitehybrid", "mamba"}) {
    std::string alone;
    {
      Driver driver(options(architecture, 1, 0));
      alone = bitsOf(driver.waitFinished(driver.submit(request(600, 647, 1))));
    }
    Driver driver(options(architecture, 2, 256 << 20));
    // One after the other: tokens that are computed together round differently than alone.
    driver.waitFinished(driver.submit(request(600, 610, 0)));
    const Heard& heard = driver.waitFinished(driver.submit(request(600, 647, 1)));
    CHECK_EQUAL(architecture + std::to_string(heard.cachedTokens >= 512), architecture + std::string("1"));
    CHECK_EQUAL(architecture + bitsOf(heard), architecture + alone);
    // A beginning that ends inside the first one's: only what is there can be taken.
    const Heard& shorter = driver.waitFinished(driver.submit(request(600, 400, 3)));
    CHECK(shorter.cachedTokens <= 384);
  }
}

TEST("prefix states: a follower has the state kept where it parts from its leader") {
  Driver driver(options("granitehybrid", 3, 256 << 20));
  const uint32_t leader = driver.submit(request(900, 950, 0));
  const uint32_t follower = driver.submit(request(400, 450, 1));
  const uint32_t third = driver.submit(request(400, 450, 2));
  driver.waitFinished(leader);
  CHECK_EQUAL(driver.waitFinished(follower).cachedTokens, 384u);
  CHECK_EQUAL(driver.waitFinished(third).cachedTokens, 384u);
}

TEST("prefix snapshots: the longest that leaves a token, per key space; the one used longest ago goes first") {
  PrefixSnapshots snapshots(1000);
  snapshots.add(snapshotOf(4, 400));
  snapshots.add(snapshotOf(8, 400));
  CHECK_EQUAL(snapshots.find(0, snapshotOf(9, 0).tokens)->tokens.size(), 8u);
  CHECK_EQUAL(snapshots.find(0, snapshotOf(8, 0).tokens)->tokens.size(), 4u);
  CHECK(snapshots.find(1, snapshotOf(9, 0).tokens) == nullptr);
  CHECK(snapshots.find(0, snapshotOf(9, 0, 1).tokens) == nullptr);
  CHECK(snapshots.has(0, snapshotOf(9, 0).tokens, 8) && !snapshots.has(0, snapshotOf(9, 0).tokens, 6));
  snapshots.use(snapshots.find(0, snapshotOf(5, 0).tokens));
  snapshots.add(snapshotOf(2, 300));
  CHECK(!snapshots.has(0, snapshotOf(9, 0).tokens, 8));
  CHECK_EQUAL(snapshots.bytes(), 700u);
  snapshots.add(snapshotOf(3, 1001));
  CHECK_EQUAL(snapshots.count(), 2u);
  snapshots.forget(snapshots.find(0, snapshotOf(3, 0).tokens));
  CHECK_EQUAL(snapshots.bytes(), 400u);
  snapshots.clear();
  CHECK_EQUAL(snapshots.bytes() + snapshots.count(), 0u);
}

TEST("prefix states: what nobody can wait for any more is forgotten") {
  WantedStates wanted;
  const auto leader = std::make_shared<Work>(1);
  auto parked = std::make_shared<Work>(2);  // ends while it has no slot, without another word
  wanted.add(leader, 128);
  wanted.add(leader, 128);
  wanted.add(parked, 256);
  CHECK(wanted.has(1, 128) && wanted.has(2, 256) && !wanted.has(1, 256));
  CHECK_EQUAL(wanted.size(), 2u);
  parked.reset();
  wanted.add(leader, 256);
  CHECK_EQUAL(wanted.size(), 2u);
  wanted.remove(1);
  CHECK_EQUAL(wanted.size(), 0u);
}
