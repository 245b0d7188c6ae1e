// Tokens are chosen at a time, and their text may be made after the next step: neither may change what is said.
#include <algorithm>
#include <random>

#include "driver.h"
#include "harness.h"
#include "llama-handles.h"
#include "log-hub.h"
#include "sampler.h"
#include "task-pool.h"

using namespace llamaestro;
using tests::Driver;
using tests::Heard;
using tests::loadOptions;
using tests::textRequest;

namespace {

const char* const kModels[] = {"scripted", "tiny", "../architectures/gemma3", "../architectures/mamba",
                               "../architectures/granitehybrid"};

LoadOptions slots(const std::string& model, double count, bool tellsLate, double threads = 1) {
  LoadOptions options = loadOptions(model);
  options.slots = count;
  options.contextTokens = count * 512;
  options.chunkTokens = 64;
  options.threads = threads;
  options.tellsLate = tellsLate;
  return options;
}

SequenceRequest talk(uint32_t salt, double maxTokens) {
  SequenceRequest request = textRequest("", maxTokens);
  request.prompt.kind = Prompt::Kind::Tokens;
  for (uint32_t i = 0; i < 20 + salt * 7; ++i) request.prompt.tokens.push_back(60 + (i * (salt + 3)) % 150);
  request.ignoreEos = true;
  request.temperature = 1;
  request.seed = salt;
  return request;
}

// One of every kind, all at once.
std::vector<SequenceRequest> everyKind(const std::string& stop) {
  std::vector<SequenceRequest> all;
  for (uint32_t i = 0; i < 7; ++i) all.push_back(talk(i, 20 + 5 * i));
  all[1].stop = {stop};
  all[2].logprobs = 2;
  all[3].grammar = "root ::= [a-z]{5,30}";
  all[4].choices = 3;
  all[4].temperature = 2;
  all[4].stop = {stop};
  all[0].temperature = 0;
  all[5].topK = 0;
  all[6].ignoreEos = false;
  return all;
}

std::string say(const Heard& heard) {
  std::string text = heard.text + " #" + std::to_string(heard.ids.size()) + " =" +
                     std::to_string(heard.end.completionTokens) + " +" + std::to_string(heard.logprobs.size()) + " !" +
                     std::to_string(static_cast<int>(heard.end.reason)) + heard.end.stopString.value_or("");
  for (const uint32_t id : heard.ids) text += " " + std::to_string(id);
  return text;
}

// What each of them says, one answer after the other; and that nothing comes after an end.
std::vector<std::string> answers(const LoadOptions& options, const std::vector<SequenceRequest>& requests) {
  Driver driver(options);
  std::vector<std::string> said;
  std::vector<uint32_t> ids;
  for (const SequenceRequest& request : requests) {
    const uint32_t first = driver.submit(request);
    for (uint32_t i = 0; i < request.choices.value_or(1); ++i) ids.push_back(first + i);
  }
  uint64_t tokens = 0;
  for (const uint32_t id : ids) {
    const Heard& heard = driver.waitFinished(id);
    CHECK_EQUAL(heard.order.back(), "finished");
    CHECK_EQUAL(heard.ids.size(), heard.end.completionTokens);
    tokens += heard.ids.size();
    said.push_back(say(heard));
  }
  const EngineStats stats = driver.engine().stats();
  CHECK_EQUAL(stats.generatedTokens, tokens);
  CHECK_EQUAL(stats.running, 0u);
  CHECK_EQUAL(stats.waiting, 0u);
  return said;
}

void checkAlike(const std::vector<std::string>& one, const std::vector<std::string>& other) {
  CHECK_EQUAL(one.size(), other.size());
  for (size_t i = 0; i < one.size(); ++i) CHECK_EQUAL(one[i], other[i]);
}

// Something that the model says in the middle of an answer to talk(1).
std::string middleOf(const std::string& model) {
  Driver driver(slots(model, 1, false));
  const std::string text = driver.waitFinished(driver.submit(talk(1, 25))).text;
  const auto goesOn = [&](size_t at) { return at < text.size() && (text[at] & 0xC0) == 0x80; };
  size_t begin = text.size() / 2;
  while (goesOn(begin)) ++begin;
  size_t end = begin + 1;
  while (goesOn(end)) ++end;
  CHECK(end <= text.size());
  return text.substr(begin, end - begin);
}

}  // namespace

TEST("token order: text that is made after the next step is the same text") {
  for (const char* model : kModels) {
    const std::vector<SequenceRequest> requests = everyKind(middleOf(model));
    // Few slots too: places are taken again while texts are still to be made.
    for (const double count : {10, 3}) {
      checkAlike(answers(slots(model, count, true), requests), answers(slots(model, count, false), requests));
    }
  }
}

TEST("token order: a stop string that is found late leaves nothing behind") {
  for (const char* model : kModels) {
    SequenceRequest request = talk(1, 200);
    request.stop = {middleOf(model)};
    std::vector<std::string> expected;
    for (const bool tellsLate : {false, true}) {
      Driver driver(slots(model, 2, tellsLate));
      const uint32_t neighbour = driver.submit(talk(2, 300));
      std::vector<std::string> said;
      for (int round = 0; round < 3; ++round) {
        const Heard& heard = driver.waitFinished(driver.submit(request));
        CHECK(heard.end.reason == FinishReason::Stop);
        CHECK(heard.end.stopString == request.stop.front());
        CHECK(heard.text.find(request.stop.front()) == std::string::npos);
        said.push_back(say(heard) + " of " + std::to_string(heard.cachedTokens));
      }
      // The slot is used by a longer one, which must not see what the others had there.
      said.push_back(say(driver.waitFinished(driver.submit(talk(1, 60)))));
      said.push_back(say(driver.waitFinished(neighbour)));
      if (expected.empty()) expected = said;
      checkAlike(said, expected);
    }
  }
}

TEST("token order: whoever is cancelled or closed has said all of its tokens before the end") {
  for (const bool closes : {false, true}) {
    Driver driver(slots("tiny", 4, true));
    std::vector<uint32_t> ids;
    for (uint32_t i = 0; i < 4; ++i) ids.push_back(driver.submit(talk(i, 400)));
    driver.waitUntil([&] { return driver.heard(ids[3]).ids.size() > 5; });
    if (closes) driver.engine().close();
    for (const uint32_t id : ids) driver.engine().cancel(id);
    for (const uint32_t id : ids) {
      const Heard& heard = driver.waitFinished(id);
      CHECK_EQUAL(heard.order.back(), "finished");
      CHECK_EQUAL(heard.ids.size(), heard.end.completionTokens);
    }
  }
}

TEST("token order: labels are scored alike") {
  std::vector<float> expected;
  for (const bool tellsLate : {false, true}) {
    Driver driver(slots("tiny", 2, tellsLate));
    const uint32_t beside = driver.submit(talk(0, 50));
    const Result<uint32_t> job = driver.engine().classify(textRequest("Hello", 1).prompt, {"yes", "yellow", "no"});
    CHECK(job.ok());
    const JobRow row = driver.waitJob(job.value());
    CHECK(!row.error);
    if (expected.empty()) expected = row.values;
    CHECK(row.values == expected);
    driver.waitFinished(beside);
  }
}

TEST("token order: a grammar for each of many sequences, chosen on several threads, changes no token") {
  std::vector<SequenceRequest> requests;
  for (uint32_t i = 0; i < 12; ++i) {
    requests.push_back(talk(i, 40));
    requests.back().topK = i % 2 == 0 ? 0 : 40;
    if (i % 3 > 0) requests.back().jsonSchema = R"({"type":"array","items":{"type":"string"},"minItems":3})";
    if (i % 4 == 0) requests.back().logprobs = 3;
  }
  const std::vector<std::string> alone = answers(slots("tiny", 12, false, 1), requests);
  checkAlike(answers(slots("tiny", 12, false, 4), requests), alone);
  checkAlike(answers(slots("tiny", 12, true, 4), requests), alone);
}

TEST("token order: samplers of different sequences do not see each other") {
  installLogHub();
  llama_model_params params = llama_model_default_params();
  params.load_mode = LLAMA_LOAD_MODE_NONE;
  const ModelPtr model(llama_model_load_from_file(tests::modelPath("tiny").c_str(), params));
  const auto vocabSize = static_cast<size_t>(llama_vocab_n_tokens(llama_model_get_vocab(model.get())));
  std::mt19937 random(5);
  std::normal_distribution<float> normal(0, 3);
  std::vector<std::vector<float>> logits(40, std::vector<float>(vocabSize));
  for (std::vector<float>& row : logits) std::generate(row.begin(), row.end(), [&] { return normal(random); });
  const auto picks = [&](uint32_t helpers) {
    std::vector<Sampler> samplers;
    for (uint32_t i = 0; i < 8; ++i) {
      SamplingChoice choice;
      choice.seed = i;
      choice.topK = i % 2 == 0 ? 40 : 0;
      choice.mirostat = i == 7 ? 2 : 0;
      Grammar grammar(llama_model_get_vocab(model.get()), "root ::= [a-z ]*", "grammar", true);
      samplers.emplace_back(model.get(), choice, i % 4 == 1 ? Constraint(std::move(grammar)) : Constraint());
    }
    TaskPool pool(helpers);
    std::vector<llama_token> picked(8 * logits.size());
    for (size_t step = 0; step < logits.size(); ++step) {
      pool.run(8, helpers, [&](size_t i) { picked[8 * step + i] = samplers[i].pick(logits[step].data()); });
    }
    return picked;
  };
  CHECK(picks(3) == picks(0));
}
