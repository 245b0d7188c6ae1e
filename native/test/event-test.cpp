// What reaches the owner of an engine, and when: tokens that go on may come later and together, nothing else may.
#include <string>

#include "event-sink.h"
#include "harness.h"

using namespace llamaestro;

namespace {

constexpr uint8_t kTokens = static_cast<uint8_t>(EventKind::Tokens);

void addToken(EventSink& sink, uint32_t sequence, uint32_t index, const std::string& text) {
  const auto id = static_cast<llama_token>(100 * sequence + index);
  sink.tokens(sequence, index, &id, 1, text);
}

LogprobRow chanceOf(uint32_t id) {
  LogprobRow row;
  row.token.id = id;
  return row;
}

}  // namespace

TEST("events: steps that were taken together give one row of tokens for each sequence") {
  EventSink sink({});
  for (uint32_t index = 0; index < 3; ++index) {
    sink.logprobs(chanceOf(100 + index));
    addToken(sink, 1, index, std::string(1, static_cast<char>('a' + index)));
    addToken(sink, 2, index, std::string(1, static_cast<char>('x' + index)));
    sink.publishNow();
  }
  const EventBatch batch = sink.drain();
  CHECK_EQUAL(batch.kind.size(), 2u);
  CHECK_EQUAL(batch.sequence[0], 1u);
  CHECK_EQUAL(batch.b[0], 3u);
  CHECK_EQUAL(batch.tokenEnd[0], 3u);
  CHECK_EQUAL(batch.textEnd[0], 3u);
  CHECK_EQUAL(batch.textSlab, "abcxyz");
  CHECK(batch.tokenSlab == std::vector<uint32_t>({100, 101, 102, 200, 201, 202}));
  CHECK_EQUAL(batch.logprobs.size(), 3u);
  for (uint32_t i = 0; i < 3; ++i) {
    CHECK_EQUAL(batch.logprobs[i].row, 0u);
    CHECK_EQUAL(batch.logprobs[i].token.id, 100 + i);
  }
}

TEST("events: the order within a sequence stays, and its end keeps its own row") {
  EventSink sink({});
  sink.started(1, 5, 0);
  sink.prefill(1, 5, 5);
  addToken(sink, 1, 0, "a");
  sink.publishNow();
  addToken(sink, 1, 1, "b");
  sink.logprobs(chanceOf(201));
  addToken(sink, 2, 1, "x");
  FinishedRow end;
  end.completionTokens = 2;
  sink.finished(1, std::move(end));
  sink.publishNow();
  const EventBatch batch = sink.drain();
  const std::vector<uint8_t> kinds = {0, 1, kTokens, kTokens, 3};
  CHECK(batch.kind == kinds);
  CHECK(batch.sequence == std::vector<uint32_t>({1, 1, 1, 2, 1}));
  CHECK_EQUAL(batch.textSlab, "abx");
  CHECK_EQUAL(batch.logprobs[0].row, 3u);
  CHECK_EQUAL(batch.finished[batch.a[4]].completionTokens, 2u);
}

TEST("events: tokens that go on wait for their pace, the first token and the end do not") {
  int wakes = 0;
  EventSink sink([&] { ++wakes; });
  addToken(sink, 1, 0, "a");
  sink.publish();
  CHECK_EQUAL(wakes, 1);
  CHECK_EQUAL(sink.drain().textSlab, "a");

  addToken(sink, 1, 1, "b");
  sink.publish();
  addToken(sink, 1, 2, "c");
  sink.publishNow();
  CHECK_EQUAL(sink.drain().textSlab, "bc");

  addToken(sink, 1, 3, "d");
  sink.finished(1, FinishedRow());
  sink.publish();
  const EventBatch last = sink.drain();
  CHECK_EQUAL(last.textSlab, "d");
  CHECK_EQUAL(last.finished.size(), 1u);
  sink.publish();
  CHECK(sink.drain().empty());
}
