// The best and the best few of a row of logits, against a plain scan.
#include <algorithm>
#include <cmath>
#include <random>

#include "harness.h"
#include "logit-scan.h"

using namespace llamaestro;

namespace {

std::vector<float> randomRow(size_t size, uint32_t seed) {
  std::mt19937 random(seed);
  // Few different values, so that many are equal.
  std::uniform_int_distribution<int> level(-50, 50);
  std::vector<float> row(size);
  for (float& logit : row) logit = static_cast<float>(level(random));
  return row;
}

llama_token plainBest(const std::vector<float>& row) {
  return static_cast<llama_token>(std::max_element(row.begin(), row.end()) - row.begin());
}

}  // namespace

TEST("logit scan: the first of the best wins, whatever the size of the vocabulary") {
  for (const int32_t size : {1, 3, 15, 16, 17, 127, 128, 129, 1000, 4099}) {
    const std::vector<float> row = randomRow(static_cast<size_t>(size), static_cast<uint32_t>(size));
    CHECK_EQUAL(bestToken(row.data(), size), plainBest(row));
  }
}

TEST("logit scan: the best one is found at every place of a block") {
  std::vector<float> row(300, -1.0f);
  for (size_t at = 0; at < row.size(); ++at) {
    row[at] = 1.0f;
    CHECK_EQUAL(bestToken(row.data(), 300), static_cast<llama_token>(at));
    row[at] = -1.0f;
  }
}

TEST("logit scan: a not-a-number hides nobody behind it") {
  std::vector<float> row = randomRow(512, 7);
  for (size_t at = 1; at < row.size(); at += 16) row[at] = NAN;
  row[128] = NAN;
  row[131] = 99.0f;
  CHECK_EQUAL(bestToken(row.data(), 512), 131);
}

TEST("logit scan: the best few come in order, equal ones by id") {
  const std::vector<float> row = randomRow(1003, 11);
  std::vector<llama_token> order(row.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<llama_token>(i);
  std::stable_sort(order.begin(), order.end(), [&](llama_token a, llama_token b) {
    return row[static_cast<size_t>(a)] > row[static_cast<size_t>(b)];
  });
  std::vector<llama_token_data> kept;
  selectTop(row.data(), 1003, 40, kept);
  CHECK_EQUAL(kept.size(), size_t{40});
  for (size_t i = 0; i < kept.size(); ++i) CHECK_EQUAL(kept[i].id, order[i]);
}
