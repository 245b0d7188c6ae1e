// Attention of single rows on the CPU (vendor/patches/attention-rows.patch), against sums in double precision.
#include <ggml-backend.h>
#include <ggml-cpu.h>
#include <ggml.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <vector>

#include "harness.h"

namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

struct Shape {
  int64_t keyLength = 64;
  int64_t valueLength = 64;
  int64_t heads = 4;
  int64_t keyHeads = 2;
  int64_t rows = 1;
  int64_t cells = 40;
  int64_t streams = 1;
  float greatestBias = 0;
  float softcap = 0;
  bool masked = true;
  bool sinks = false;
  int threads = 2;
};

// Numbers in the order of the tensors: innermost the row, then rows or cells, heads, streams.
struct Numbers {
  std::vector<float> query, key, value, mask, sinks;
};

float rounded(float number) { return ggml_fp16_to_fp32(ggml_fp32_to_fp16(number)); }

Numbers randomNumbers(const Shape& shape, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  const auto fill = [&](std::vector<float>& into, int64_t size) {
    into.resize(static_cast<size_t>(size));
    for (float& one : into) one = rounded(normal(random));
  };
  Numbers numbers;
  fill(numbers.query, shape.keyLength * shape.rows * shape.heads * shape.streams);
  fill(numbers.key, shape.keyLength * shape.cells * shape.keyHeads * shape.streams);
  fill(numbers.value, shape.valueLength * shape.cells * shape.keyHeads * shape.streams);
  fill(numbers.mask, shape.cells * shape.rows * shape.streams);
  fill(numbers.sinks, shape.heads);
  // Two thirds of the cells are seen, the first one always.
  for (size_t i = 0; i < numbers.mask.size(); ++i) {
    const bool first = i % static_cast<size_t>(shape.cells) == 0;
    numbers.mask[i] = !first && random() % 3 == 0 ? kNever : shape.greatestBias > 0 ? -std::abs(numbers.mask[i]) : 0;
  }
  return numbers;
}

struct Closer {
  void operator()(ggml_context* one) const { ggml_free(one); }
  void operator()(ggml_backend* one) const { ggml_backend_free(one); }
  void operator()(ggml_backend_buffer* one) const { ggml_backend_buffer_free(one); }
};

void set(ggml_tensor* tensor, const std::vector<float>& numbers) {
  if (tensor->type == GGML_TYPE_F32) {
    ggml_backend_tensor_set(tensor, numbers.data(), 0, ggml_nbytes(tensor));
    return;
  }
  std::vector<ggml_fp16_t> halves(numbers.size());
  ggml_fp32_to_fp16_row(numbers.data(), halves.data(), static_cast<int64_t>(numbers.size()));
  ggml_backend_tensor_set(tensor, halves.data(), 0, ggml_nbytes(tensor));
}

// What ggml gives: value length x heads x rows x streams.
std::vector<float> attention(const Shape& shape, const Numbers& numbers) {
  const std::unique_ptr<ggml_context, Closer> context(ggml_init({1 << 20, nullptr, true}));
  ggml_context* const memory = context.get();
  ggml_tensor* q = ggml_new_tensor_4d(memory, GGML_TYPE_F32, shape.keyLength, shape.rows, shape.heads, shape.streams);
  ggml_tensor* k =
      ggml_new_tensor_4d(memory, GGML_TYPE_F16, shape.keyLength, shape.cells, shape.keyHeads, shape.streams);
  ggml_tensor* v =
      ggml_new_tensor_4d(memory, GGML_TYPE_F16, shape.valueLength, shape.cells, shape.keyHeads, shape.streams);
  ggml_tensor* mask = ggml_new_tensor_4d(memory, GGML_TYPE_F16, shape.cells, shape.rows, 1, shape.streams);
  ggml_tensor* sinks = ggml_new_tensor_1d(memory, GGML_TYPE_F32, shape.heads);
  ggml_tensor* out =
      ggml_flash_attn_ext(memory, q, k, v, shape.masked ? mask : nullptr, 0.125f, shape.greatestBias, shape.softcap);
  if (shape.sinks) ggml_flash_attn_ext_add_sinks(out, sinks);
  const std::unique_ptr<ggml_backend, Closer> backend(ggml_backend_cpu_init());
  ggml_backend_cpu_set_n_threads(backend.get(), shape.threads);
  const std::unique_ptr<ggml_backend_buffer, Closer> buffer(ggml_backend_alloc_ctx_tensors(memory, backend.get()));
  set(q, numbers.query);
  set(k, numbers.key);
  set(v, numbers.value);
  set(mask, numbers.mask);
  set(sinks, numbers.sinks);
  ggml_cgraph* const graph = ggml_new_graph(memory);
  ggml_build_forward_expand(graph, out);
  CHECK(ggml_backend_graph_compute(backend.get(), graph) == GGML_STATUS_SUCCESS);
  std::vector<float> result(static_cast<size_t>(ggml_nelements(out)));
  ggml_backend_tensor_get(out, result.data(), 0, ggml_nbytes(out));
  return result;
}

double slopeOf(const Shape& shape, int64_t head) {
  if (shape.greatestBias == 0) return 1;
  const double power = std::pow(2, std::floor(std::log2(static_cast<double>(shape.heads))));
  if (static_cast<double>(head) < power)
    return std::pow(2, -shape.greatestBias / power * static_cast<double>(head + 1));
  return std::pow(2, -shape.greatestBias / 2 / power * (2 * (static_cast<double>(head) - power) + 1));
}

// One row by its definition: softmax of the scores, times the values.
std::vector<double> plainRow(const Shape& shape, const Numbers& numbers, int64_t row, int64_t head, int64_t stream) {
  const int64_t keyHead = head / (shape.heads / shape.keyHeads) + stream * shape.keyHeads;
  const float* query = &numbers.query[((stream * shape.heads + head) * shape.rows + row) * shape.keyLength];
  std::vector<double> mixed(static_cast<size_t>(shape.valueLength), 0.0);
  double sum = shape.sinks ? std::exp(numbers.sinks[head]) : 0;
  for (int64_t cell = 0; cell < shape.cells; ++cell) {
    const float added = shape.masked ? numbers.mask[(stream * shape.rows + row) * shape.cells + cell] : 0;
    if (added == kNever) continue;
    const float* key = &numbers.key[(keyHead * shape.cells + cell) * shape.keyLength];
    const float* value = &numbers.value[(keyHead * shape.cells + cell) * shape.valueLength];
    double score = 0;
    for (int64_t i = 0; i < shape.keyLength; ++i) score += static_cast<double>(query[i]) * key[i];
    score *= 0.125;
    if (shape.softcap != 0) score = shape.softcap * std::tanh(score / shape.softcap);
    const double weight = std::exp(score + slopeOf(shape, head) * added);
    sum += weight;
    for (int64_t i = 0; i < shape.valueLength; ++i) mixed[i] += weight * value[i];
  }
  for (double& one : mixed) one /= sum;
  return mixed;
}

double worstDifference(const Shape& shape, const Numbers& numbers) {
  const std::vector<float> all = attention(shape, numbers);
  double worst = 0;
  for (int64_t stream = 0; stream < shape.streams; ++stream) {
    for (int64_t row = 0; row < shape.rows; ++row) {
      for (int64_t head = 0; head < shape.heads; ++head) {
        const std::vector<double> wanted = plainRow(shape, numbers, row, head, stream);
        const float* given = &all[((stream * shape.rows + row) * shape.heads + head) * shape.valueLength];
        for (int64_t i = 0; i < shape.valueLength; ++i) worst = std::max(worst, std::abs(wanted[i] - given[i]));
      }
    }
  }
  return worst;
}

// Sums are made in f32 with AVX-512, and by ggml's own code in f16 elsewhere.
double tolerance() { return ggml_cpu_has_avx512() != 0 ? 2e-6 : 1e-2; }

void check(const Shape& shape, uint32_t seed) {
  const double worst = worstDifference(shape, randomNumbers(shape, seed));
  if (worst <= tolerance()) return;
  tests::failAt(__FILE__, __LINE__,
                "differs by " + std::to_string(worst * 1e6) + "e-6 at lengths " + std::to_string(shape.keyLength) +
                    ", " + std::to_string(shape.valueLength) + ", cells " + std::to_string(shape.cells) + ", rows " +
                    std::to_string(shape.rows) + ", streams " + std::to_string(shape.streams));
}

}  // namespace

TEST("attention rows: every length of head, number of cells and way to share keys gives the plain sums") {
  uint32_t seed = 0;
  for (const auto& [keyLength, valueLength] :
       {std::pair<int64_t, int64_t>{16, 16}, {32, 32}, {64, 64}, {80, 80}, {128, 128}, {192, 128}, {256, 256}}) {
    for (const int64_t cells : {1, 15, 16, 17, 300, 1100}) {
      Shape shape{keyLength, valueLength};
      shape.cells = cells;
      check(shape, ++seed);
      shape.streams = 3;
      shape.heads = 20;
      shape.keyHeads = 1;
      check(shape, ++seed);
      shape.rows = 3;
      shape.heads = shape.keyHeads = 3;
      check(shape, ++seed);
    }
  }
}

TEST("attention rows: biases by head, capped scores, sinks, and rows without a mask") {
  for (const int64_t cells : {40, 700}) {
    Shape shape;
    shape.cells = cells;
    shape.heads = 6;
    shape.softcap = 3;
    check(shape, 1);
    shape.softcap = 0;
    shape.greatestBias = 8;
    check(shape, 2);
    shape.greatestBias = 0;
    shape.sinks = true;
    check(shape, 3);
    shape.sinks = false;
    shape.masked = false;
    check(shape, 4);
  }
}

TEST("attention rows: what one thread gives, two give to the last bit, and a row what it gives beside others") {
  Shape many;
  many.streams = 4;
  many.cells = 200;
  many.threads = 1;
  const Numbers numbers = randomNumbers(many, 5);
  const std::vector<float> all = attention(many, numbers);
  Shape two = many;
  two.threads = 2;
  CHECK(attention(two, numbers) == all);
  Shape alone = many;
  alone.streams = 1;
  const auto part = [&](const std::vector<float>& from) {
    return std::vector<float>(from.end() - static_cast<std::ptrdiff_t>(from.size() / 4), from.end());
  };
  const Numbers last{part(numbers.query), part(numbers.key), part(numbers.value), part(numbers.mask), numbers.sinks};
  CHECK(attention(alone, last) == part(all));
}

TEST("attention rows: cells that are not seen may lie anywhere and hold anything") {
  Shape dense;
  dense.cells = 50;
  dense.keyHeads = dense.heads = 1;
  dense.masked = false;
  const Numbers numbers = randomNumbers(dense, 6);
  Shape loose = dense;
  loose.cells = 150;
  loose.masked = true;
  Numbers spread = randomNumbers(loose, 7);
  spread.query = numbers.query;
  for (int64_t cell = 0; cell < loose.cells; ++cell) {
    const bool seen = cell % 3 == 1;
    spread.mask[cell] = seen ? 0 : kNever;
    for (int64_t i = 0; i < dense.keyLength; ++i) {
      const int64_t from = cell / 3 * dense.keyLength + i;
      spread.key[cell * dense.keyLength + i] = seen ? numbers.key[from] : NAN;
      spread.value[cell * dense.keyLength + i] = seen ? numbers.value[from] : NAN;
    }
  }
  CHECK(attention(loose, spread) == attention(dense, numbers));
}

TEST("attention rows: what is no number in a cell that is seen is none in the result") {
  for (const bool inKey : {true, false}) {
    Shape shape;
    shape.heads = shape.keyHeads = 1;
    shape.masked = false;
    Numbers numbers = randomNumbers(shape, 8);
    (inKey ? numbers.key : numbers.value)[static_cast<size_t>(shape.keyLength * 7 + 3)] = NAN;
    CHECK(std::isnan(attention(shape, numbers)[3]));
  }
}
