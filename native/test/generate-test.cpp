#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <thread>

#include "driver.h"
#include "harness.h"

using namespace llamaestro;
using tests::Driver;
using tests::Heard;
using tests::loadOptions;
using tests::textRequest;

namespace {

const char* const kSentenceStart = "This is the scripted test model";

LoadOptions slots(const std::string& model, double count, double contextTokens) {
  LoadOptions options = loadOptions(model);
  options.slots = count;
  options.contextTokens = contextTokens;
  return options;
}

std::string longText(size_t bytes) {
  std::string text;
  while (text.size() < bytes) text += "one more word and ";
  return text;
}

std::string codeOf(const Result<uint32_t>& result) { return result.ok() ? "ok" : result.error().code; }
std::string paramOf(const Result<uint32_t>& result) { return result.ok() ? "" : result.error().param; }

}  // namespace

TEST("generate: a scripted model says its sentence, with all events in order") {
  Driver driver(slots("scripted", 1, 1024));
  const Heard& heard = driver.waitFinished(driver.submit(textRequest("Hello", 200)));
  CHECK_EQUAL(heard.text.substr(0, strlen(kSentenceStart)), kSentenceStart);
  CHECK(heard.end.reason == FinishReason::Stop);
  CHECK_EQUAL(heard.end.completionTokens, heard.ids.size());
  CHECK_EQUAL(heard.order.front(), "started");
  CHECK_EQUAL(heard.order[1], "prefill");
  CHECK_EQUAL(heard.order[2], "tokens");
  CHECK_EQUAL(heard.order.back(), "finished");
  CHECK_EQUAL(heard.promptTokens, heard.prefilled);
}

TEST("generate: messages go through the chat template") {
  Driver driver(slots("scripted", 1, 1024));
  SequenceRequest request = textRequest("", 3);
  request.prompt.kind = Prompt::Kind::Messages;
  request.prompt.messages = {{"user", "Hello"}};
  const Heard& heard = driver.waitFinished(driver.submit(request));
  CHECK(heard.end.reason == FinishReason::Length);
  CHECK_EQUAL(heard.ids.size(), 3u);
  CHECK_EQUAL(driver.engine().tokenize(request.prompt).value().size(), heard.promptTokens);
}

TEST("generate: characters that tokens cut in halves come out whole") {
  Driver driver(slots("utf8", 1, 1024));
  const Heard& heard = driver.waitFinished(driver.submit(textRequest("Hello", 100)));
  CHECK_EQUAL(heard.text, "Two characters in halves: \xf0\x9f\x8e\xb5 and then \xe2\x98\x83 and the end.");
}

TEST("generate: a stop string ends the text before it") {
  Driver driver(slots("scripted", 1, 1024));
  SequenceRequest request = textRequest("Hello", 200);
  request.stop = {"test mod"};
  const Heard& heard = driver.waitFinished(driver.submit(request));
  CHECK_EQUAL(heard.text, "This is the scripted ");
  CHECK(heard.end.reason == FinishReason::Stop);
  CHECK_EQUAL(heard.end.stopString.value_or(""), "test mod");
}

TEST("generate: with ignoreEos the answer goes on to maxTokens") {
  Driver driver(slots("scripted", 1, 1024));
  SequenceRequest request = textRequest("Hello", 100);
  request.ignoreEos = true;
  const Heard& heard = driver.waitFinished(driver.submit(request));
  CHECK(heard.end.reason == FinishReason::Length);
  CHECK_EQUAL(heard.end.completionTokens, 100u);
}

TEST("generate: a slot that is full ends with length") {
  Driver driver(slots("tiny", 1, 64));
  SequenceRequest request = textRequest("Hello there", 64);
  request.maxTokens = std::nullopt;
  request.ignoreEos = true;
  const Heard& heard = driver.waitFinished(driver.submit(request));
  CHECK(heard.end.reason == FinishReason::Length);
  CHECK_EQUAL(heard.end.completionTokens, 64 - heard.end.promptTokens);
}

TEST("generate: many sequences at once say what each says alone") {
  std::vector<SequenceRequest> requests;
  for (int i = 0; i < 12; ++i) {
    SequenceRequest request =
        textRequest("Question number " + std::to_string(i * 37) + longText(static_cast<size_t>(i) * 40), 5 + i * 3);
    request.ignoreEos = true;
    requests.push_back(request);
  }
  std::vector<std::vector<uint32_t>> alone;
  {
    Driver driver(slots("scripted", 1, 2048));
    for (const SequenceRequest& request : requests) alone.push_back(driver.waitFinished(driver.submit(request)).ids);
  }
  for (const char* layout : {"split", "unified"}) {
    LoadOptions options = slots("scripted", 4, 4 * 2048);
    options.kvLayout = layout;
    options.chunkTokens = 64;
    Driver driver(options);
    std::vector<uint32_t> ids;
    for (const SequenceRequest& request : requests) ids.push_back(driver.submit(request));
    for (size_t i = 0; i < ids.size(); ++i) CHECK(driver.waitFinished(ids[i]).ids == alone[i]);
    CHECK_EQUAL(driver.engine().stats().running, 0u);
    CHECK_EQUAL(driver.engine().stats().waiting, 0u);
  }
}

TEST("generate: moving a sequence into a hole does not change its tokens") {
  // Greedy tokens of random weights depend on every number in the cache.
  SequenceRequest request = textRequest("A sequence that will be moved to another slot", 60);
  request.ignoreEos = true;
  std::vector<uint32_t> alone;
  {
    Driver driver(slots("tiny", 1, 256));
    alone = driver.waitFinished(driver.submit(request)).ids;
  }
  Driver driver(slots("tiny", 3, 3 * 256));
  const uint32_t first = driver.submit(textRequest("first", 5));
  const uint32_t second = driver.submit(textRequest("second", 9));
  const uint32_t moved = driver.submit(request);
  driver.waitFinished(first);
  driver.waitFinished(second);
  CHECK(driver.waitFinished(moved).ids == alone);
}

TEST("generate: the same seed gives the same tokens, another seed others") {
  Driver driver(slots("tiny", 1, 256));
  SequenceRequest request = textRequest("Hello", 24);
  request.temperature = 5;
  request.ignoreEos = true;
  request.seed = 7;
  const std::vector<uint32_t> first = driver.waitFinished(driver.submit(request)).ids;
  const std::vector<uint32_t> again = driver.waitFinished(driver.submit(request)).ids;
  request.seed = 8;
  const std::vector<uint32_t> other = driver.waitFinished(driver.submit(request)).ids;
  CHECK(first == again);
  CHECK(first != other);
}

TEST("generate: bad numbers are refused with the name of the field") {
  Driver driver(slots("scripted", 1, 256));
  const auto refused = [&](const std::function<void(SequenceRequest&)>& change) {
    SequenceRequest request = textRequest("Hello", 5);
    change(request);
    const Result<uint32_t> result = driver.engine().submit(request);
    return codeOf(result) + " " + paramOf(result);
  };
  CHECK_EQUAL(refused([](SequenceRequest& r) { r.temperature = -1; }), "invalid_request temperature");
  CHECK_EQUAL(refused([](SequenceRequest& r) { r.temperature = NAN; }), "invalid_request temperature");
  CHECK_EQUAL(refused([](SequenceRequest& r) { r.topK = 1e9; }), "invalid_request topK");
  CHECK_EQUAL(refused([](SequenceRequest& r) { r.topP = 0; }), "invalid_request topP");
  CHECK_EQUAL(refused([](SequenceRequest& r) { r.minP = 2; }), "invalid_request minP");
  CHECK_EQUAL(refused([](SequenceRequest& r) { r.seed = 4294967296.0; }), "invalid_request seed");
  CHECK_EQUAL(refused([](SequenceRequest& r) { r.maxTokens = 0; }), "invalid_request maxTokens");
  CHECK_EQUAL(refused([](SequenceRequest& r) { r.maxTokens = 1.5; }), "invalid_request maxTokens");
  CHECK_EQUAL(refused([](SequenceRequest& r) { r.stop = {""}; }), "invalid_request stop");
  CHECK_EQUAL(refused([](SequenceRequest& r) { r.stop.assign(17, "x"); }), "invalid_request stop");
  CHECK_EQUAL(refused([](SequenceRequest& r) {
                r.prompt.kind = Prompt::Kind::Tokens;
                r.prompt.tokens = {1, 1e6};
              }),
              "invalid_request tokens");
  CHECK_EQUAL(refused([](SequenceRequest& r) { r.prompt.kind = Prompt::Kind::Messages; }), "invalid_request messages");
  CHECK_EQUAL(codeOf(driver.engine().embed({"x"})), "invalid_request");
}

TEST("generate: a prompt that leaves no room is refused with counts") {
  Driver driver(slots("scripted", 2, 128));
  const Result<uint32_t> result = driver.engine().submit(textRequest(longText(4000), 5));
  CHECK_EQUAL(codeOf(result), "context_length_exceeded");
  double promptTokens = 0;
  double room = 0;
  for (const Detail& detail : result.error().details) {
    if (detail.name == "promptTokens") promptTokens = std::get<double>(detail.value);
    if (detail.name == "contextTokensPerSlot") room = std::get<double>(detail.value);
  }
  CHECK(promptTokens > 64);
  CHECK_EQUAL(room, 64.0);
}

TEST("generate: waiting sequences are bounded") {
  Driver driver(slots("prefill", 1, 2048));
  driver.submit(textRequest(longText(1500), 500));
  int accepted = 0;
  std::string code = "ok";
  while (code == "ok" && accepted <= 2000) {
    code = codeOf(driver.engine().submit(textRequest("Hello", 1)));
    ++accepted;
  }
  CHECK_EQUAL(code, "queue_full");
  CHECK(accepted >= 1024 && accepted <= 1026);
}

TEST("cancel: a sequence in the middle of its prompt ends at once and its neighbour keeps its text") {
  SequenceRequest neighbour = textRequest("The neighbour", 40);
  neighbour.ignoreEos = true;
  std::vector<uint32_t> alone;
  {
    Driver driver(slots("prefill", 2, 2 * 4096));
    alone = driver.waitFinished(driver.submit(neighbour)).ids;
  }
  LoadOptions options = slots("prefill", 2, 2 * 4096);
  options.chunkTokens = 512;
  Driver driver(options);
  const uint32_t kept = driver.submit(neighbour);
  SequenceRequest victim = textRequest("", 10);
  victim.prompt.kind = Prompt::Kind::Tokens;
  victim.prompt.tokens.assign(4000, 5);
  const uint32_t cancelled = driver.submit(victim);
  driver.waitUntil([&] { return driver.heard(cancelled).prefilled > 0; });
  driver.engine().cancel(cancelled);
  driver.engine().cancel(cancelled);
  const Heard& heard = driver.waitFinished(cancelled);
  CHECK(heard.end.reason == FinishReason::Cancelled);
  CHECK(heard.prefilled < 4000);
  CHECK(driver.waitFinished(kept).ids == alone);
  // The slot is usable again, and what it computes is not touched by what was cut off.
  CHECK(driver.waitFinished(driver.submit(neighbour)).ids == alone);
}

TEST("cancel: sequences that wait end without having started") {
  Driver driver(slots("tiny", 1, 512));
  SequenceRequest request = textRequest("Hello", 400);
  request.ignoreEos = true;
  const uint32_t running = driver.submit(request);
  const uint32_t waiting = driver.submit(request);
  driver.engine().cancel(waiting);
  CHECK(driver.waitFinished(waiting).end.reason == FinishReason::Cancelled);
  CHECK_EQUAL(driver.heard(waiting).order.size(), 1u);
  driver.engine().cancel(running);
  CHECK(driver.waitFinished(running).end.reason == FinishReason::Cancelled);
  driver.engine().cancel(12345);
}

TEST("close: in the middle of a decode every sequence ends as cancelled") {
  Driver driver(slots("prefill", 2, 2 * 4096));
  SequenceRequest request = textRequest("", 10);
  request.prompt.kind = Prompt::Kind::Tokens;
  request.prompt.tokens.assign(4000, 5);
  const uint32_t first = driver.submit(request);
  const uint32_t second = driver.submit(request);
  const uint32_t third = driver.submit(request);
  driver.waitUntil([&] { return driver.heard(first).prefilled + driver.heard(second).prefilled > 0; });
  driver.engine().close();
  driver.engine().close();
  driver.drain();
  for (uint32_t id : {first, second, third}) CHECK(driver.heard(id).end.reason == FinishReason::Cancelled);
  CHECK_EQUAL(codeOf(driver.engine().submit(request)), "cancelled");
  CHECK(!driver.engine().tokenize(request.prompt).ok());
  CHECK_EQUAL(driver.engine().memory().totalBytes, 0u);
}

TEST("close: other threads may submit, cancel and tokenize meanwhile") {
  Driver driver(slots("tiny", 4, 1024));
  std::atomic<bool> stop{false};
  std::thread submitter([&] {
    while (!stop) {
      const Result<uint32_t> id = driver.engine().submit(textRequest("Hello", 30));
      if (id.ok() && id.value() % 3 == 0) driver.engine().cancel(id.value());
      if (!id.ok() && id.error().code == "queue_full") std::this_thread::yield();
    }
  });
  std::thread reader([&] {
    while (!stop) {
      Prompt prompt;
      prompt.text = "some words to count";
      driver.engine().tokenize(prompt);
      driver.engine().stats();
      driver.engine().memory();
      driver.engine().drain();
    }
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  driver.engine().close();
  stop = true;
  submitter.join();
  reader.join();
  CHECK_EQUAL(driver.engine().stats().running, 0u);
  CHECK_EQUAL(driver.engine().stats().waiting, 0u);
}
