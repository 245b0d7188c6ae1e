#include <cmath>

#include "driver.h"
#include "error.h"
#include "harness.h"
#include "label-scorer.h"

using namespace llamaestro;
using tests::Driver;
using tests::loadOptions;

namespace {

bool isClose(double a, double b, double tolerance = 1e-4) { return std::abs(a - b) < tolerance; }

Prompt tokenPrompt(const std::vector<uint32_t>& tokens) {
  Prompt prompt;
  prompt.kind = Prompt::Kind::Tokens;
  prompt.tokens.assign(tokens.begin(), tokens.end());
  return prompt;
}

std::vector<float> classify(Driver& driver, const Prompt& prompt, const std::vector<std::string>& labels) {
  const Result<uint32_t> job = driver.engine().classify(prompt, labels);
  if (!job.ok()) throw tests::CheckFailed(job.error().code + ": " + job.error().message);
  const JobRow row = driver.waitJob(job.value());
  if (row.error) throw tests::CheckFailed(row.error->message);
  return row.values;
}

}  // namespace

TEST("label scorer: chances multiply along labels, and a label that begins others has the rest") {
  // Four tokens, each with its own chance after everything: 0.1, 0.2, 0.3, 0.4.
  const float logits[4] = {std::log(0.1f), std::log(0.2f), std::log(0.3f), std::log(0.4f)};
  LabelScorer scorer({{0, 1}, {0, 2, 3}, {0}, {3, 3, 3}});
  const auto step = scorer.take(logits, 4);
  CHECK(step && step->token == 0 && step->depth == 1);
  CHECK(!scorer.take(logits, 4));
  const std::vector<float> scores = scorer.scores();
  const double all = 0.1 * 0.2 + 0.1 * 0.3 + 0.1 * 0.5 + 0.4;
  CHECK(isClose(scores[0], std::log(0.02 / all)));
  CHECK(isClose(scores[1], std::log(0.03 / all)));
  CHECK(isClose(scores[2], std::log(0.05 / all)));
  CHECK(isClose(scores[3], std::log(0.4 / all)));
}

TEST("label scorer: goes back to where labels part") {
  const float logits[3] = {0, 0, 0};
  LabelScorer scorer({{0, 1, 0}, {0, 1, 1}, {2, 0}, {2, 1}});
  std::vector<std::string> steps;
  for (auto step = scorer.take(logits, 3); step; step = scorer.take(logits, 3)) {
    steps.push_back(std::to_string(step->token) + "@" + std::to_string(step->depth));
  }
  CHECK_EQUAL(steps.size(), 3u);
  CHECK_EQUAL(steps[0] + " " + steps[1] + " " + steps[2], "2@1 0@1 1@2");
  CHECK_EQUAL(scorer.deepest(), 2u);
  CHECK(scorer.goesBack());
  CHECK(!LabelScorer({{0, 1, 0}, {0, 1, 1}, {2}}).goesBack());
  LabelScorer deep({{0, 1, 0}, {0, 1, 1}, {0, 2, 0}, {0, 2, 1}});
  std::vector<llama_token> last;
  for (auto step = deep.take(logits, 3); step; step = deep.take(logits, 3)) last = step->way;
  CHECK(last == std::vector<llama_token>({0, 1}));
}

TEST("classify: labels of several tokens score as their beginnings computed one by one") {
  Driver driver(loadOptions("tiny"));
  Prompt prompt;
  prompt.text = "The answer is ";
  const std::vector<uint32_t> tokens = driver.engine().tokenize(prompt).value();
  // Of "ab", "ac" and "d", the first two part behind "a": what sets them apart is what sets "b" and "c" apart there.
  const std::vector<float> joint = classify(driver, prompt, {"zqb", "zqc", "zxb", "zxc", "k"});
  const auto behind = [&](const std::string& text) {
    Prompt more;
    more.text = "\n" + text;
    std::vector<uint32_t> all = tokens;
    const std::vector<uint32_t> added = driver.engine().tokenize(more).value();
    Prompt line;
    line.text = "\n";
    const size_t skipped = driver.engine().tokenize(line).value().size();
    all.insert(all.end(), added.begin() + static_cast<ptrdiff_t>(skipped), added.end());
    return tokenPrompt(all);
  };
  const std::vector<float> q = classify(driver, behind("zq"), {"b", "c"});
  const std::vector<float> x = classify(driver, behind("zx"), {"b", "c"});
  CHECK(isClose(joint[0] - joint[1], q[0] - q[1], 2e-2));
  CHECK(isClose(joint[2] - joint[3], x[0] - x[1], 2e-2));
  double sum = 0;
  for (const float score : joint) sum += std::exp(score);
  CHECK(isClose(sum, 1));
  CHECK_EQUAL(driver.engine().stats().running, 0u);
}

TEST("classify: labels fork in more than one place, whatever the cache is like") {
  for (const char* model : {"tiny", "../architectures/gemma3", "../architectures/gpt-oss", "../architectures/mamba",
                            "../architectures/granitehybrid"}) {
    LoadOptions options = loadOptions(model);
    options.slots = 2;
    options.contextTokens = 2048;
    options.chunkTokens = 64;
    Driver driver(options);
    std::vector<uint32_t> tokens;
    for (uint32_t i = 0; i < 200; ++i) tokens.push_back(5 + i * 7 % 90);
    const auto behind = [&](const std::string& text) {
      const auto idsOf = [&](const std::string& one) {
        Prompt prompt;
        prompt.text = one;
        return driver.engine().tokenize(prompt).value();
      };
      const size_t skipped = idsOf("\n").size();
      const std::vector<uint32_t> added = idsOf("\n" + text);
      std::vector<uint32_t> all = tokens;
      all.insert(all.end(), added.begin() + static_cast<ptrdiff_t>(skipped), added.end());
      return tokenPrompt(all);
    };
    SequenceRequest beside = tests::textRequest("", 60);
    beside.prompt = tokenPrompt({7, 8, 9, 10});
    beside.ignoreEos = true;
    const uint32_t neighbour = driver.submit(beside);
    const std::vector<float> joint =
        classify(driver, tokenPrompt(tokens), {"zqb", "zqc", "zxb", "zxc", "kab", "kac", "w"});
    driver.waitFinished(neighbour);
    const struct {
      const char* beginning;
      size_t at;
    } forks[] = {{"zq", 0}, {"zx", 2}, {"ka", 4}};
    for (const auto& fork : forks) {
      const std::vector<float> alone = classify(driver, behind(fork.beginning), {"b", "c"});
      const double wanted = alone[0] - alone[1];
      if (isClose(joint[fork.at] - joint[fork.at + 1], wanted, 2e-2)) continue;
      tests::failAt(__FILE__, __LINE__, std::string(model) + " behind " + fork.beginning);
    }
    double sum = 0;
    for (const float score : joint) sum += std::exp(score);
    CHECK(isClose(sum, 1));
    const std::vector<float> again =
        classify(driver, tokenPrompt(tokens), {"zqb", "zqc", "zxb", "zxc", "kab", "kac", "w"});
    for (size_t i = 0; i < joint.size(); ++i) CHECK(isClose(again[i], joint[i], 1e-3));
  }
}

TEST("classify: bad labels are refused, a cancelled one tells so, an embedder has none") {
  Driver driver(loadOptions("tiny"));
  Prompt prompt;
  prompt.text = "x";
  for (const std::vector<std::string>& labels :
       std::vector<std::vector<std::string>>{{}, {"a"}, {"a", ""}, {"a", "a"}}) {
    const Result<uint32_t> job = driver.engine().classify(prompt, labels);
    CHECK(!job.ok());
    CHECK_EQUAL(job.error().param, "labels");
  }
  prompt.text = std::string(1500, 'x');
  const uint32_t job = driver.engine().classify(prompt, {"a", "b"}).value();
  driver.engine().cancel(job);
  const JobRow row = driver.waitJob(job);
  CHECK(row.error && row.error->code == codes::kCancelled);
}
