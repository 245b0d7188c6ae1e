#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <random>

#include "driver.h"
#include "harness.h"
#include "llama-handles.h"
#include "log-hub.h"
#include "sampler.h"
#include "text-stream.h"

using namespace llamaestro;
using tests::Driver;
using tests::Heard;
using tests::loadOptions;
using tests::textRequest;

namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr double kPatienceSeconds = 60;  // steps are counted, not time, and sanitizers take several times as long
#else
constexpr double kPatienceSeconds = 5;
#endif

LoadOptions oneSlot(const std::string& model, double contextTokens = 2048) {
  LoadOptions options = loadOptions(model);
  options.slots = 1;
  options.contextTokens = contextTokens;
  return options;
}

ModelPtr loadModel(const std::string& name) {
  installLogHub();
  llama_model_params params = llama_model_default_params();
  params.load_mode = LLAMA_LOAD_MODE_NONE;
  ModelPtr model(llama_model_load_from_file(tests::modelPath(name).c_str(), params));
  CHECK(model != nullptr);
  return model;
}

std::string times(const std::string& text, size_t count) {
  std::string all;
  for (size_t i = 0; i < count; ++i) all += text;
  return all;
}

// "code param", with the keyword of a schema where there is one; "ok" when the engine takes the request.
std::string answerTo(Driver& driver, const std::function<void(SequenceRequest&)>& change) {
  SequenceRequest request = textRequest("Hello", 1);
  change(request);
  const Result<uint32_t> result = driver.engine().submit(request);
  if (result.ok()) {
    const Heard& heard = driver.waitFinished(result.value());
    return heard.end.error ? heard.end.error->code + " while it ran" : "ok";
  }
  std::string text = result.error().code + " " + result.error().param;
  for (const Detail& detail : result.error().details) {
    if (detail.name == "keyword") text += " " + std::get<std::string>(detail.value);
  }
  return text;
}

std::string answerToGrammar(Driver& driver, const std::string& grammar) {
  return answerTo(driver, [&](SequenceRequest& request) { request.grammar = grammar; });
}

std::string answerToSchema(Driver& driver, const std::string& schema) {
  return answerTo(driver, [&](SequenceRequest& request) { request.jsonSchema = schema; });
}

class Stopwatch {
 public:
  bool isUnder(double seconds) const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count() < seconds;
  }

 private:
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

std::vector<float> randomLogits(std::mt19937& random, size_t count) {
  std::normal_distribution<float> normal(0, 3);
  std::vector<float> logits(count);
  for (float& logit : logits) logit = normal(random);
  return logits;
}

}  // namespace

TEST("grammar: the answer is of it, whatever the model would say") {
  Driver driver(oneSlot("scripted"));
  SequenceRequest request = textRequest("Hello", 40);
  request.grammar = "root ::= \"yes, \" [0-9]{3} (\" and\" | \" or\") \" no\"";
  for (const double temperature : {0.0, 1.0}) {
    request.temperature = temperature;
    const Heard& heard = driver.waitFinished(driver.submit(request));
    CHECK(heard.end.reason == FinishReason::Stop);
    CHECK_EQUAL(heard.text.substr(0, 5), "yes, ");
    CHECK(std::all_of(heard.text.begin() + 5, heard.text.begin() + 8, [](char c) { return c >= '0' && c <= '9'; }));
    CHECK(heard.text.substr(8) == " and no" || heard.text.substr(8) == " or no");
  }
}

TEST("grammar: what the model says anyway is not changed by a grammar that allows it") {
  Driver driver(oneSlot("scripted"));
  SequenceRequest request = textRequest("Hello", 30);
  const std::string free = driver.waitFinished(driver.submit(request)).text;
  request.grammar = "root ::= .*  # anything, (even ( this";
  CHECK_EQUAL(driver.waitFinished(driver.submit(request)).text, free);
}

TEST("schema: random weights write JSON of it") {
  Driver driver(oneSlot("tiny"));
  SequenceRequest request = textRequest("Hello", 600);
  request.jsonSchema = R"({"type":"object","properties":{"name":{"type":"string","maxLength":8},"age":{"type":"integer",
    "minimum":1,"maximum":9},"tags":{"type":"array","items":{"enum":["a","b"]},"minItems":2,"maxItems":2}},
    "required":["name","age","tags"]})";
  for (const double seed : {1.0, 2.0, 3.0}) {
    request.seed = seed;
    request.temperature = 1;
    const Heard& heard = driver.waitFinished(driver.submit(request));
    CHECK(heard.end.reason == FinishReason::Stop);
    CHECK_EQUAL(heard.text.front(), '{');
    CHECK_EQUAL(heard.text.back(), '}');
    for (const char* part : {"\"name\"", "\"age\"", "\"tags\""}) CHECK(heard.text.find(part) != std::string::npos);
  }
}

TEST("grammar: what is wrong is refused by name") {
  Driver driver(oneSlot("tiny", 256));
  for (const std::string& bad :
       {std::string("root ::= "), std::string("root ::= \"a"), std::string("a ::= \"a\""), std::string("root ::= b"),
        std::string("root ::= root \"a\" | \"b\""), std::string("root ::= \"\xff\xfe"), std::string("%llguidance {}"),
        std::string("root ::= \"a\"{1000000}"), std::string("root ::= \"a\"{5,2}"), std::string("root ::= [\\x"),
        "root ::= " + times("(", 200000) + "\"a\"" + times(")", 200000),
        "root ::= " + times("(", 65) + "\"a\"" + times(")", 65), "root ::= " + times("\"a\" ", 20000),
        "root ::= \"" + times("a", 20000) + "\"{2000} \"" + times("b", 20000) + "\"{2000}",
        std::string("root ::= \"x\" a\na ::= b a\nb ::= c\nc ::= \"\""), std::string(" "), std::string("a\0b", 3)}) {
    const std::string answer = answerToGrammar(driver, bad);
    const bool isEmptyRoot = bad == "root ::= ";  // says nothing, which is a text
    CHECK_EQUAL(bad.substr(0, 40) + ": " + answer,
                bad.substr(0, 40) + (isEmptyRoot ? ": ok" : ": invalid_request grammar"));
  }
  CHECK_EQUAL(answerToGrammar(driver, "root ::= " + times("(", 60) + "\"a\"" + times(")", 60)), "ok");
  CHECK_EQUAL(answerTo(driver,
                       [](SequenceRequest& request) {
                         request.grammar = "root ::= \"a\"";
                         request.jsonSchema = "{}";
                       }),
              "invalid_request grammar");
}

TEST("grammar: those that explode end in time, and the engine goes on") {
  Driver driver(oneSlot("tiny", 256));
  std::string doubling = "root ::= r0 r0\n";
  for (int i = 0; i < 60; ++i) {
    const std::string next = "r" + std::to_string(i + 1);
    doubling += "r" + std::to_string(i) + " ::= " + next + "? " + next + "? \"x\"?\n";
  }
  doubling += "r60 ::= \"y\"?\n";
  for (const std::string& bad : {"root ::= " + times("\"a\"? ", 2000), "root ::= " + times("[a-z]? ", 2000),
                                 "root ::= " + times(".? ", 2000), doubling, "root ::= \"b\" " + times("\"a\"* ", 3000),
                                 std::string("root ::= a\na ::= b a \"z\" | \"y\"\nb ::= c\nc ::= \"\"")}) {
    const Stopwatch watch;
    const std::string answer = answerToGrammar(driver, bad);
    CHECK(watch.isUnder(kPatienceSeconds));
    CHECK(answer.rfind("invalid_request", 0) == 0);
  }
  CHECK_EQUAL(answerToGrammar(driver, "root ::= \"a\"?"), "ok");
}

TEST("schema: keywords that no grammar enforces are refused by name") {
  Driver driver(oneSlot("tiny", 256));
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"({"type":"object","patternProperties":{}})", "patternProperties"},
      {R"({"type":"number","minimum":1})", "minimum"},
      {R"({"type":"integer","multipleOf":2})", "multipleOf"},
      {R"({"type":"array","uniqueItems":true})", "uniqueItems"},
      {R"({"type":"string","format":"email"})", "format"},
      {R"({"type":"string","pattern":"no anchors"})", "pattern"},
      {R"({"type":"string","pattern":"^\\d+$"})", "pattern"},
      {R"({"type":"string","maxLength":3000})", "maxLength"},
      {R"({"allOf":[{"type":"object"}]})", "allOf"},
      {R"({"not":{"type":"string"}})", "not"},
      {R"({"if":{},"then":{}})", "if"},
      {R"({"type":"object","properties":{"a":{"type":"object","minProperties":1}}})", "minProperties"},
      {R"({"type":"object","required":["a"]})", "required"},
      {R"({"anyOf":[{"type":"string"}],"minLength":2})", "minLength"},
      {R"({"$ref":"https://example.com/a"})", "$ref"},
      {R"({"type":"array","items":true})", "true"},
      {R"({"type":["string","number"],"minimum":2})", "minimum"}};
  for (const auto& [schema, keyword] : cases) {
    CHECK_EQUAL(schema + answerToSchema(driver, schema), schema + "unsupported_schema jsonSchema " + keyword);
  }
  for (
      const char* good :
      {"{}", R"({"type":"string","pattern":"^[a-z]{2,5}-[0-9]+$"})", R"({"type":["string","null"],"minLength":2})",
       R"({"$defs":{"n":{"type":"object","properties":{"next":{"anyOf":[{"$ref":"#/$defs/n"},{"type":"null"}]}}}},"$ref":"#/$defs/n"})",
       R"({"type":"array","prefixItems":[{"const":1},{"enum":["a"]}],"minItems":2,"maxItems":2})",
       R"({"title":"t","type":"object","properties":{"\u00e4":{"type":"integer","exclusiveMinimum":0}},"additionalProperties":true})",
       R"({"oneOf":[{"type":"boolean"},{"type":"string","format":"date"}]})"}) {
    CHECK_EQUAL(good + answerToSchema(driver, good), std::string(good) + "ok");
  }
}

TEST("schema: bad, deep and huge ones are refused in time") {
  Driver driver(oneSlot("tiny", 256));
  std::string optional = R"({"type":"object","properties":{)";
  std::string alike = optional;
  for (int i = 0; i < 250; ++i) optional += (i ? ",\"p" : "\"p") + std::to_string(i) + R"(":{"type":"string"})";
  for (int i = 1; i < 200; ++i) alike += (i > 1 ? ",\"" : "\"") + times("!", static_cast<size_t>(i)) + R"(":{})";
  const std::vector<std::string> bad = {"{",
                                        "[]",
                                        "7",
                                        R"({"type":"thing"})",
                                        R"({"type":["string","string"]})",
                                        R"({"enum":[]})",
                                        alike + "}}",
                                        R"({"type":"integer","minimum":1e300})",
                                        R"({"type":"integer","minimum":5,"maximum":2})",
                                        R"({"type":"array","minItems":5,"maxItems":2})",
                                        R"({"$defs":{"a":{"$ref":"#/$defs/a"}},"$ref":"#/$defs/a"})",
                                        R"({"$ref":"#/$defs/none"})",
                                        R"({"type":"string","pattern":"^(a$"})",
                                        times(R"({"type":"array","items":)", 2000) + "{}" + times("}", 2000),
                                        times(R"({"type":"array","items":)", 65) + "{}" + times("}", 65),
                                        times("[", 20000),
                                        "{\"title\":\"" + times("x", 70000) + "\"}"};
  for (const std::string& schema : bad) {
    const Stopwatch watch;
    CHECK_EQUAL(schema.substr(0, 60) + answerToSchema(driver, schema),
                schema.substr(0, 60) + "invalid_request jsonSchema");
    CHECK(watch.isUnder(kPatienceSeconds));
  }
  const Stopwatch watch;
  const std::string answer = answerToSchema(driver, optional + "}}");
  CHECK(answer == "ok" || answer.rfind("invalid_request", 0) == 0);
  CHECK(watch.isUnder(kPatienceSeconds));
}

TEST("sampling: a bias bans a token and forces another") {
  Driver driver(oneSlot("scripted"));
  SequenceRequest request = textRequest("Hello", 1);
  const uint32_t usual = driver.waitFinished(driver.submit(request)).ids.front();
  request.logitBias = {static_cast<double>(usual), -100};
  CHECK(driver.waitFinished(driver.submit(request)).ids.front() != usual);
  const double other = usual > 10 ? usual - 1 : usual + 1;
  request.logitBias = {other, 100};
  CHECK_EQUAL(driver.waitFinished(driver.submit(request)).ids.front(), static_cast<uint32_t>(other));
}

TEST("sampling: penalties and DRY end a repetition that greedy choice keeps up") {
  const ModelPtr model = loadModel("tiny");
  const auto vocabSize = static_cast<size_t>(llama_vocab_n_tokens(llama_model_get_vocab(model.get())));
  std::vector<float> logits(vocabSize, 0.0f);
  logits[20] = 6;
  logits[30] = 5;
  const auto distinct = [&](const std::function<void(SamplingChoice&)>& change, std::vector<llama_token> prompt = {}) {
    SamplingChoice choice;
    choice.temperature = 0;
    change(choice);
    Sampler sampler(model.get(), choice, Constraint(), prompt);
    std::vector<llama_token> picked;
    for (int i = 0; i < 6; ++i) picked.push_back(sampler.pick(logits.data()));
    return std::count(picked.begin(), picked.end(), 30);
  };
  CHECK_EQUAL(distinct([](SamplingChoice&) {}), 0);
  CHECK(distinct([](SamplingChoice& choice) { choice.repeatPenalty = 1.5f; }) > 0);
  CHECK(distinct([](SamplingChoice& choice) { choice.presencePenalty = 2; }) > 0);
  CHECK(distinct([](SamplingChoice& choice) { choice.frequencyPenalty = 1; }) > 0);
  CHECK(distinct([](SamplingChoice& choice) { choice.dryMultiplier = 5; }) > 0);
  CHECK_EQUAL(distinct([](SamplingChoice& choice) {
                choice.repeatPenalty = 1.5f;
                choice.repeatLastN = 0;
              }),
              0);
  // The prompt counts.
  CHECK_EQUAL(distinct(
                  [](SamplingChoice& choice) {
                    choice.presencePenalty = 2;
                    choice.repeatLastN = 1;
                  },
                  {20}),
              3);
}

TEST("sampling: every option gives the tokens of the unshortened path, and the same ones again") {
  const ModelPtr model = loadModel("tiny");
  const auto vocabSize = static_cast<size_t>(llama_vocab_n_tokens(llama_model_get_vocab(model.get())));
  const std::vector<std::function<void(SamplingChoice&)>> options = {[](SamplingChoice& c) { c.typicalP = 0.5f; },
                                                                     [](SamplingChoice& c) {
                                                                       c.xtcProbability = 1;
                                                                       c.xtcThreshold = 0.01f;
                                                                     },
                                                                     [](SamplingChoice& c) { c.dynatempRange = 0.7f; },
                                                                     [](SamplingChoice& c) { c.mirostat = 1; },
                                                                     [](SamplingChoice& c) { c.mirostat = 2; },
                                                                     [](SamplingChoice& c) { c.repeatPenalty = 1.3f; },
                                                                     [](SamplingChoice& c) { c.dryMultiplier = 1; },
                                                                     [](SamplingChoice& c) {
                                                                       c.logitBias = {{5, 3.0f}, {9, -4.0f}};
                                                                     }};
  for (const float temperature : {0.0f, 1.0f}) {
    for (size_t option = 0; option < options.size(); ++option) {
      SamplingChoice choice;
      choice.temperature = temperature;
      choice.seed = 42;
      SamplingChoice plain = choice;
      options[option](choice);
      Sampler fast(model.get(), choice);
      Sampler slow(model.get(), choice);
      Sampler without(model.get(), plain);
      std::mt19937 random(7);
      bool matters = false;
      for (int step = 0; step < 60; ++step) {
        const std::vector<float> logits = randomLogits(random, vocabSize);
        const llama_token picked = fast.pick(logits.data());
        CHECK_EQUAL(picked, slow.pickSlowly(logits.data()));
        matters = matters || picked != without.pick(logits.data());
      }
      // Sequences hardly repeat themselves here: DRY has nothing to do.
      if (temperature > 0 && choice.dryMultiplier == 0) CHECK(matters);
    }
  }
}

TEST("sampling: log probabilities belong to the tokens, and their bytes are the text") {
  for (const char* model : {"tiny", "utf8"}) {
    Driver driver(oneSlot(model, 512));
    SequenceRequest request = textRequest("Hello", 40);
    request.logprobs = 5;
    const Heard& heard = driver.waitFinished(driver.submit(request));
    CHECK_EQUAL(heard.logprobs.size(), heard.ids.size());
    std::string text;
    for (size_t i = 0; i < heard.logprobs.size(); ++i) {
      const LogprobRow& row = heard.logprobs[i];
      CHECK_EQUAL(row.token.id, heard.ids[i]);
      CHECK(row.token.logprob <= 0);
      CHECK_EQUAL(row.top.size(), 5u);
      // Greedy: the token itself is the likeliest.
      CHECK_EQUAL(row.top.front().id, row.token.id);
      double sum = 0;
      for (const TokenChance& one : row.top) sum += std::exp(one.logprob);
      CHECK(sum <= 1.0001);
      CHECK(std::is_sorted(row.top.begin(), row.top.end(),
                           [](const TokenChance& a, const TokenChance& b) { return a.logprob > b.logprob; }));
      text += row.token.bytes;
    }
    CHECK_EQUAL(cleanUtf8(text, nullptr), heard.text);
    request.logprobs = std::nullopt;
    CHECK(driver.waitFinished(driver.submit(request)).logprobs.empty());
  }
}

TEST("sampling: every number out of range is refused by name") {
  Driver driver(oneSlot("tiny", 256));
  const auto refused = [&](Number SequenceRequest::*field, double value) {
    return answerTo(driver, [&](SequenceRequest& request) { request.*field = value; });
  };
  const std::vector<std::tuple<const char*, Number SequenceRequest::*, double, double>> fields = {
      {"typicalP", &SequenceRequest::typicalP, 0, 1.1},
      {"repeatPenalty", &SequenceRequest::repeatPenalty, 0, 11},
      {"repeatLastN", &SequenceRequest::repeatLastN, -1, 65537},
      {"frequencyPenalty", &SequenceRequest::frequencyPenalty, -11, 11},
      {"presencePenalty", &SequenceRequest::presencePenalty, -11, 11},
      {"dryMultiplier", &SequenceRequest::dryMultiplier, -1, 101},
      {"dryBase", &SequenceRequest::dryBase, 0.5, 17},
      {"dryAllowedLength", &SequenceRequest::dryAllowedLength, -1, 1025},
      {"dryPenaltyLastN", &SequenceRequest::dryPenaltyLastN, 0.5, 65537},
      {"xtcProbability", &SequenceRequest::xtcProbability, -0.1, 1.1},
      {"xtcThreshold", &SequenceRequest::xtcThreshold, -0.1, 1.1},
      {"mirostat", &SequenceRequest::mirostat, -1, 3},
      {"mirostatTau", &SequenceRequest::mirostatTau, -1, 101},
      {"mirostatEta", &SequenceRequest::mirostatEta, -1, 1.1},
      {"dynatempRange", &SequenceRequest::dynatempRange, -1, 101},
      {"dynatempExponent", &SequenceRequest::dynatempExponent, -1, NAN},
      {"logprobs", &SequenceRequest::logprobs, -1, 21}};
  for (const auto& [name, field, low, high] : fields) {
    CHECK_EQUAL(refused(field, low), std::string("invalid_request ") + name);
    CHECK_EQUAL(refused(field, high), std::string("invalid_request ") + name);
  }
  const auto biased = [&](std::vector<double> pairs) {
    return answerTo(driver, [&](SequenceRequest& request) { request.logitBias = pairs; });
  };
  for (const std::vector<double>& pairs :
       {std::vector<double>{1e6, 1}, {-1, 1}, {0.5, 1}, {1, 101}, {1, NAN}, {1}, std::vector<double>(2050, 1)}) {
    CHECK_EQUAL(biased(pairs), "invalid_request logitBias");
  }
  CHECK_EQUAL(answerTo(driver, [](SequenceRequest& request) { request.drySequenceBreakers = {{""}}; }),
              "invalid_request drySequenceBreakers");
}
