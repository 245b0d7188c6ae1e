// Parts that need a bare model and context: the sampler's short cuts and the cache blocks.
#include <cmath>
#include <cstring>
#include <random>

#include "batch.h"
#include "chat-template.h"
#include "engine.h"
#include "event-sink.h"
#include "harness.h"
#include "kv-blocks.h"
#include "llama-handles.h"
#include "log-hub.h"
#include "mailbox.h"
#include "sampler.h"

using namespace llamaestro;

namespace {

ModelPtr loadModel(const std::string& name) {
  installLogHub();
  llama_model_params params = llama_model_default_params();
  params.load_mode = LLAMA_LOAD_MODE_NONE;
  ModelPtr model(llama_model_load_from_file(tests::modelPath(name).c_str(), params));
  CHECK(model != nullptr);
  return model;
}

ContextPtr makeContext(llama_model* model, bool unified, bool flash) {
  llama_context_params params = llama_context_default_params();
  params.n_ctx = 3 * 512;
  params.n_batch = 64;
  params.n_ubatch = 64;
  params.n_seq_max = 3;
  params.n_outputs_max = 3;
  params.n_threads = 1;
  params.n_threads_batch = 1;
  params.kv_unified = unified;
  params.flash_attn_type = flash ? LLAMA_FLASH_ATTN_TYPE_ENABLED : LLAMA_FLASH_ATTN_TYPE_DISABLED;
  ContextPtr context(llama_init_from_model(model, params));
  CHECK(context != nullptr);
  return context;
}

// Computes tokens [from, to) of a fixed pseudo text in chunks on the grid of 64 and returns the last logits.
std::vector<float> compute(llama_context* context, llama_seq_id slot, uint32_t from, uint32_t to) {
  const int32_t vocabSize = llama_vocab_n_tokens(llama_model_get_vocab(llama_get_model(context)));
  std::vector<float> logits;
  for (uint32_t at = from; at < to;) {
    Batch batch(64);
    const uint32_t end = std::min(to, (at / 64 + 1) * 64);
    int32_t last = 0;
    for (; at < end; ++at) {
      last = batch.add(static_cast<llama_token>(5 + at * 7 % 200), static_cast<llama_pos>(at), slot, at + 1 == to);
    }
    CHECK_EQUAL(llama_decode(context, batch.raw()), 0);
    if (at == to) {
      const float* row = llama_get_logits_ith(context, last);
      logits.assign(row, row + vocabSize);
    }
  }
  return logits;
}

void checkRoundTrip(bool unified, bool flash) {
  const ModelPtr model = loadModel("tiny");
  const ContextPtr context = makeContext(model.get(), unified, flash);
  const KvBlocks blocks(context.get());
  CHECK_EQUAL(blocks.fault(), "");
  const std::vector<float> expected = compute(context.get(), 0, 0, 300);
  const std::vector<KvBlock> kept = blocks.exportRange(0, 0, 256, 64);
  CHECK_EQUAL(kept.size(), 4u);
  // The donor goes on unharmed.
  llama_memory_seq_rm(llama_get_memory(context.get()), 0, 256, -1);
  CHECK(compute(context.get(), 0, 256, 300) == expected);
  // Another sequence continues from the blocks, bit for bit.
  std::vector<const KvBlock*> chain;
  for (const KvBlock& block : kept) chain.push_back(&block);
  blocks.importChain(2, chain);
  CHECK_EQUAL(llama_memory_seq_pos_max(llama_get_memory(context.get()), 2), 255);
  const std::vector<float> continued = compute(context.get(), 2, 256, 300);
  // A unified cache gives other cells to the same positions, and sums in another order.
  for (size_t i = 0; i < expected.size(); ++i) {
    CHECK(unified ? std::fabs(continued[i] - expected[i]) < 1e-2f * (1 + std::fabs(expected[i]))
                  : continued[i] == expected[i]);
  }
  llama_memory_seq_rm(llama_get_memory(context.get()), 2, -1, -1);
  chain.pop_back();
  blocks.importChain(2, chain);
  CHECK_EQUAL(llama_memory_seq_pos_max(llama_get_memory(context.get()), 2), 191);
}

}  // namespace

TEST("kv blocks: a sequence continues bit for bit from exported blocks") {
  checkRoundTrip(false, true);
  checkRoundTrip(false, false);
  checkRoundTrip(true, true);
}

TEST("kv blocks: damaged, foreign and unconnected blocks are refused, and nothing is left behind") {
  const ModelPtr model = loadModel("tiny");
  const ContextPtr context = makeContext(model.get(), false, true);
  const KvBlocks blocks(context.get());
  compute(context.get(), 0, 0, 128);
  std::vector<KvBlock> kept = blocks.exportRange(0, 0, 128, 64);
  const auto refused = [&](const std::vector<const KvBlock*>& chain) {
    try {
      blocks.importChain(1, chain);
      return false;
    } catch (const Failure&) {
      return llama_memory_seq_pos_max(llama_get_memory(context.get()), 1) == -1;
    }
  };
  CHECK(refused({&kept[1]}));
  KvBlock flipped = kept[0];
  flipped.bytes[flipped.bytes.size() / 2] ^= 4;
  CHECK(refused({&flipped}));
  KvBlock foreign = kept[0];
  foreign.layout ^= 1;
  CHECK(refused({&foreign}));
  KvBlock cut = kept[0];
  cut.bytes.pop_back();
  cut.checksum = blockChecksum(cut.bytes);
  CHECK(refused({&cut}));
  bool threw = false;
  try {
    blocks.importChain(0, {&kept[0]});
  } catch (const Failure&) {
    threw = true;
  }
  CHECK(threw);
}

TEST("sampler: the short cuts pick the same tokens as the full path") {
  const ModelPtr model = loadModel("tiny");
  const auto vocabSize = static_cast<size_t>(llama_vocab_n_tokens(llama_model_get_vocab(model.get())));
  std::mt19937 random(99);
  std::normal_distribution<float> normal(0, 3);
  for (const float temperature : {0.0f, 0.7f, 2.0f}) {
    for (const int topK : {1, 7, 40, 200, 0}) {
      SamplingChoice choice;
      choice.temperature = temperature;
      choice.topK = topK;
      choice.minP = 0.01f;
      choice.seed = 42;
      Sampler fast(model.get(), choice);
      Sampler slow(model.get(), choice);
      for (int step = 0; step < 50; ++step) {
        std::vector<float> logits(vocabSize);
        for (float& logit : logits) logit = normal(random);
        CHECK_EQUAL(fast.pick(logits.data()), slow.pickSlowly(logits.data()));
      }
    }
  }
}

TEST("sampler: numbers that are not finite are an error, not a token") {
  const ModelPtr model = loadModel("tiny");
  const auto vocabSize = static_cast<size_t>(llama_vocab_n_tokens(llama_model_get_vocab(model.get())));
  for (const float bad : {std::nanf(""), -INFINITY, INFINITY}) {
    for (const auto& [temperature, topK] : {std::pair{0.0f, 40}, std::pair{0.8f, 40}, std::pair{0.8f, 0}}) {
      SamplingChoice choice;
      choice.temperature = temperature;
      choice.topK = topK;
      Sampler sampler(model.get(), choice);
      const std::vector<float> logits(vocabSize, bad);
      bool threw = false;
      try {
        sampler.pick(logits.data());
      } catch (const Failure& failure) {
        threw = failure.error().code == "internal";
      }
      CHECK(threw);
    }
  }
}

TEST("template: loops and recursion without end are stopped, and the next rendering works") {
  const ModelPtr model = loadModel("tiny");
  Prompt messages;
  messages.kind = Prompt::Kind::Messages;
  messages.messages = {{"user", "Hi"}};
  std::vector<const char*> bad = {"{% if %}", "{{ raise_exception('no') }}", "{{ messages[0]['content'] "};
#if !defined(__SANITIZE_THREAD__)  // it remembers every call, and takes all memory for these
  bad.push_back("{% for i in range(1000000000) %}x{% endfor %}");
  bad.push_back("{% macro f(n) %}{{ f(n) }}{% endmacro %}{{ f(1) }}");
  bad.push_back(
      "{% set ns = namespace(x='ab') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}");
#endif
  for (const char* source : bad) {
    const ChatTemplate chat(model.get(), source);
    std::string code = "ok";
    try {
      chat.render(messages);
    } catch (const Failure& failure) {
      code = failure.error().code;
    }
    CHECK_EQUAL(std::string(source) + (code == "ok" ? " ok" : ""), source);
  }
  const ChatTemplate good(model.get(),
                          "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt "
                          "%}<assistant>{% endif %}");
  CHECK_EQUAL(good.render(messages).prompt, "<user>Hi<assistant>");
  messages.messages = {{"system", "S"}, {"user", "Hi"}};
  CHECK_EQUAL(good.render(messages).prompt, "<system>S<user>Hi<assistant>");
}

TEST("event sink: one wake until the owner drains, and slabs stay in step") {
  int wakes = 0;
  EventSink sink([&] { ++wakes; });
  const llama_token ids[2] = {11, 12};
  sink.started(1, 4, 0);
  sink.publish();
  sink.tokens(1, 0, ids, 2, "ab");
  sink.publish();
  sink.tokens(2, 0, ids, 1, "c");
  sink.finished(2, FinishedRow());
  sink.publish();
  CHECK_EQUAL(wakes, 1);
  const EventBatch batch = sink.drain();
  CHECK_EQUAL(batch.sequence.size(), 4u);
  CHECK_EQUAL(batch.tokenEnd[3], 3u);
  CHECK_EQUAL(batch.textSlab, "abc");
  CHECK_EQUAL(batch.textEnd[1], 2u);
  CHECK_EQUAL(batch.a[3], 0u);
  CHECK(sink.drain().empty());
  sink.publish();
  CHECK_EQUAL(wakes, 1);
  sink.started(3, 1, 0);
  sink.publish();
  CHECK_EQUAL(wakes, 2);
}

TEST("mailbox: bounded, closable, and a nudge wakes the reader") {
  Mailbox<int> box(2);
  using Post = Mailbox<int>::Post;
  CHECK(box.post(1) == Post::Taken);
  CHECK(box.post(2) == Post::Taken);
  CHECK(box.post(3) == Post::Full);
  CHECK_EQUAL(box.take(true).size(), 2u);
  box.nudge();
  CHECK(box.take(true).empty());
  CHECK(box.post(4) == Post::Taken);
  box.close();
  CHECK(box.post(5) == Post::Closed);
  CHECK_EQUAL(box.take(true).size(), 1u);
  CHECK(box.take(true).empty());
}
