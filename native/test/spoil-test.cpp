// Adapters whose numbers leave every range: whoever sits beside them or comes after them says what it says alone.
#include <string>
#include <vector>

#include "adapter-files.h"
#include "driver.h"
#include "harness.h"
#include "spoil-watch.h"

using namespace llamaestro;
using tests::AdapterSpec;
using tests::bitsOf;
using tests::Driver;
using tests::Heard;
using tests::loadOptions;

namespace {

using Uses = std::vector<AdapterUse>;

const Uses kNone;
const Uses kSick{{"sick", 100}};

LoadOptions options(const std::string& model, const std::string& layout, const std::string& flash, double slots) {
  LoadOptions options = loadOptions(model);
  options.slots = slots;
  options.contextTokens = slots * 512;
  options.kvLayout = layout;
  options.flashAttention = flash;
  options.chunkTokens = 64;
  options.prefixCacheBytes = 0;
  AdapterSpec spec;
  spec.model = model;
  spec.part =
      model.find("mamba") != std::string::npos || model.find("granite") != std::string::npos ? "ssm_in" : "blk.";
  spec.gain = 1e15f;
  spec.alpha = 65536;
  options.adapters = {{"sick", tests::writeAdapter(spec)}};
  return options;
}

SequenceRequest request(const Uses& lora, uint32_t promptTokens, double maxTokens, uint32_t salt) {
  SequenceRequest request = tests::textRequest("", maxTokens);
  request.prompt.kind = Prompt::Kind::Tokens;
  for (uint32_t i = 0; i < promptTokens; ++i) request.prompt.tokens.push_back(5 + (i * 7 + salt * 11) % 90);
  request.temperature = 0;
  request.ignoreEos = true;
  request.logprobs = 2;
  request.lora = lora;
  return request;
}

std::string alone(const LoadOptions& options, const SequenceRequest& request) {
  Driver driver(options);
  return bitsOf(driver.waitFinished(driver.submit(request)));
}

void checkSick(const Heard& heard) {
  CHECK(heard.end.error.has_value());
  CHECK_EQUAL(heard.end.error->code, "internal");
  CHECK(heard.end.error->message.find("not a finite number") != std::string::npos);
}

const char* const kModels[] = {"tiny", "../architectures/gemma3", "../architectures/mamba",
                               "../architectures/granitehybrid"};

}  // namespace

TEST("spoil: the next tenant of a slot says what it says alone") {
  for (const char* model : kModels) {
    for (const char* flash : {"off", "on"}) {
      const LoadOptions all = options(model, "split", flash, 1);
      const std::string wanted = alone(all, request(kNone, 100, 12, 1));
      Driver driver(all);
      checkSick(driver.waitFinished(driver.submit(request(kSick, 150, 12, 0))));
      CHECK_EQUAL(model + bitsOf(driver.waitFinished(driver.submit(request(kNone, 100, 12, 1)))), model + wanted);
      // It is sick again, and gone before anything it computed was looked at.
      const uint32_t quitter = driver.submit(request(kSick, 400, 12, 2));
      driver.engine().cancel(quitter);
      driver.waitFinished(quitter);
      CHECK_EQUAL(model + bitsOf(driver.waitFinished(driver.submit(request(kNone, 100, 12, 1)))), model + wanted);
    }
  }
}

TEST("spoil: neighbours say what they say alone, before and after") {
  for (const char* model : kModels) {
    for (const char* flash : {"off"}) {
      const LoadOptions all = options(model, "split", flash, 3);
      Driver solo(all);
      const Heard wanted = solo.waitFinished(solo.submit(request(kNone, 80, 420, 1)));
      Driver driver(all);
      const uint32_t neighbour = driver.submit(request(kNone, 80, 420, 1));
      driver.waitUntil([&] { return driver.heard(neighbour).ids.size() > 2; });
      for (uint32_t salt = 2; salt < 4; ++salt) {
        checkSick(driver.waitFinished(driver.submit(request(kSick, 150, 12, salt))));
      }
      CHECK(!driver.heard(neighbour).finished);
      // Put aside late, the cells of a sliding window come back in another order: the last digits may change.
      if (std::string(model).find("gemma3") != std::string::npos) {
        tests::checkSame(driver.waitFinished(neighbour), wanted, model);
      } else {
        CHECK_EQUAL(model + bitsOf(driver.waitFinished(neighbour)), model + bitsOf(wanted));
      }
    }
  }
}

TEST("spoil: neighbours in one stream of cells go on in finite numbers") {
  for (const char* model : kModels) {
    for (const char* flash : {"off", "on"}) {
      Driver driver(options(model, "unified", flash, 3));
      const uint32_t neighbour = driver.submit(request(kNone, 80, 420, 1));
      driver.waitUntil([&] { return driver.heard(neighbour).ids.size() > 2; });
      checkSick(driver.waitFinished(driver.submit(request(kSick, 150, 12, 2))));
      CHECK(!driver.heard(neighbour).finished);
      const Heard& heard = driver.waitFinished(neighbour);
      CHECK(!heard.end.error);
      CHECK_EQUAL(heard.ids.size(), 420u);
      const Heard& next = driver.waitFinished(driver.submit(request(kNone, 300, 8, 3)));
      CHECK(!next.end.error);
    }
  }
}

TEST("spoil: vectors after a sick job are what they were before") {
  for (const char* model : {"tiny", "embedder"}) {
    LoadOptions all = options(model, "", "off", 1);
    all.purpose = "embed";
    all.contextTokens = 256;
    all.chunkTokens = std::nullopt;
    Driver driver(all);
    const auto ask = [&](const Uses& lora) {
      EmbedOptions options;
      options.lora = lora;
      return driver.waitJob(driver.engine().embed({"one thing", "another thing altogether"}, options).value());
    };
    const std::vector<float> wanted = ask(kNone).values;
    CHECK(ask(kSick).error.has_value());
    CHECK(ask(kNone).values == wanted);
  }
}

TEST("spoil watch: a set is unknown until it has shown a number, and again when it shows none") {
  SpoilWatch watch;
  CHECK(!watch.isUnknown(kNoAdapters));
  CHECK(watch.isUnknown(7));
  watch.sawNumbers(7);
  CHECK(!watch.isUnknown(7) && watch.isUnknown(8) && !watch.isSpoiled());
  watch.sawNoNumber(7);
  CHECK(watch.isUnknown(7) && watch.isSpoiled());
  watch.cleared();
  watch.sawNoNumber(kNoAdapters);
  CHECK(!watch.isUnknown(kNoAdapters) && watch.isSpoiled());
  for (uint64_t space = 1; space <= SpoilWatch::kMostKnown + 1; ++space) watch.sawNumbers(space);
  CHECK(watch.isUnknown(1) && !watch.isUnknown(SpoilWatch::kMostKnown + 1));
}
