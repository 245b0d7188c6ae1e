#include <cmath>

#include "driver.h"
#include "harness.h"

using namespace llamaestro;
using tests::Driver;
using tests::loadOptions;

namespace {

std::vector<float> vectorOf(Driver& driver, const std::string& text) {
  return driver.waitJob(driver.engine().embed({text}).value()).values;
}

}  // namespace

TEST("embed: one unit vector per input, the same alone and together") {
  Driver driver(loadOptions("embedder", "embed"));
  std::vector<std::string> inputs;
  for (int i = 0; i < 70; ++i)
    inputs.push_back("text number " + std::to_string(i) + std::string(static_cast<size_t>(i), 'a'));
  const JobRow row = driver.waitJob(driver.engine().embed(inputs).value());
  CHECK(!row.error);
  CHECK_EQUAL(row.width, driver.engine().info().embeddingLength);
  CHECK_EQUAL(row.values.size(), inputs.size() * row.width);
  for (size_t i = 0; i < inputs.size(); ++i) {
    double length = 0;
    for (size_t j = 0; j < row.width; ++j) length += std::pow(row.values[i * row.width + j], 2);
    CHECK(std::fabs(length - 1) < 1e-4);
  }
  for (size_t i : {size_t{0}, size_t{33}, size_t{69}}) {
    const std::vector<float> alone = vectorOf(driver, inputs[i]);
    for (size_t j = 0; j < row.width; ++j) CHECK(std::fabs(alone[j] - row.values[i * row.width + j]) < 1e-3);
  }
  CHECK(vectorOf(driver, "one thing") != vectorOf(driver, "another thing"));
}

TEST("embed: what is empty or too long is refused with counts") {
  LoadOptions options = loadOptions("embedder", "embed");
  options.contextTokens = 64;
  Driver driver(options);
  std::string text;
  for (int i = 0; i < 200; ++i) text += "word ";
  const Result<uint32_t> result = driver.engine().embed({"short", text});
  CHECK_EQUAL(result.error().code, "context_length_exceeded");
  CHECK_EQUAL(std::get<double>(result.error().details[0].value), 1.0);
  CHECK_EQUAL(driver.engine().embed({}).error().code, "invalid_request");
  CHECK_EQUAL(driver.engine().rerank("a", {"b"}).error().code, "invalid_request");
  CHECK_EQUAL(driver.engine().submit(tests::textRequest("x", 1)).error().code, "invalid_request");
}

TEST("rerank: one score per document, in order, whatever goes with it") {
  Driver driver(loadOptions("reranker", "rerank"));
  const std::vector<std::string> documents = {"first document", "second one", "a third and longer document"};
  const JobRow row = driver.waitJob(driver.engine().rerank("which one?", documents).value());
  CHECK(!row.error);
  CHECK_EQUAL(row.values.size(), 3u);
  for (size_t i = 0; i < documents.size(); ++i) {
    const JobRow alone = driver.waitJob(driver.engine().rerank("which one?", {documents[i]}).value());
    CHECK(std::fabs(alone.values[0] - row.values[i]) < 1e-3f * (1 + std::fabs(row.values[i])));
  }
}

TEST("embed: a cancelled job ends as cancelled, and so does one that a close finds") {
  Driver driver(loadOptions("embedder", "embed"));
  const std::vector<std::string> many(2000, "some words that have to be computed one batch after the other");
  const uint32_t first = driver.engine().embed(many).value();
  const uint32_t second = driver.engine().embed(many).value();
  driver.engine().cancel(first);
  CHECK_EQUAL(driver.waitJob(first).error.value().code, "cancelled");
  driver.engine().close();
  CHECK_EQUAL(driver.waitJob(second).error.value().code, "cancelled");
  CHECK_EQUAL(driver.engine().embed({"x"}).error().code, "cancelled");
}
