#include "chunk-choice.h"

#include <vector>

#include "harness.h"

using namespace llamaestro;

namespace {

// A machine that needs this long per token; few tokens cost more each.
struct Machine {
  double msPerToken;
  double extraForFew = 1;
  std::vector<uint32_t> asked = {};
  uint32_t choose(uint32_t most, double budgetMs = 300) {
    return chooseChunk(most, budgetMs, [this](uint32_t tokens) {
      asked.push_back(tokens);
      return tokens * msPerToken * (tokens < 64 ? extraForFew : 1);
    });
  }
};

}  // namespace

TEST("chunk choice: a fast machine gets the largest after two short looks") {
  Machine machine{0.1};
  CHECK_EQUAL(machine.choose(256), 256u);
  CHECK_EQUAL(machine.asked.size(), 2u);
  CHECK_EQUAL(Machine{0.1}.choose(512), 512u);
}

TEST("chunk choice: a chunk stays below a quarter of a second") {
  CHECK_EQUAL(Machine{1.2}.choose(256), 128u);
  CHECK_EQUAL(Machine{2.5}.choose(256), 64u);
  CHECK_EQUAL(Machine{50}.choose(512), 16u);
}

TEST("chunk choice: what 16 tokens cost is not held against longer chunks") {
  CHECK_EQUAL((Machine{0.9, 1.5}).choose(256), 256u);
  // A model that is too slow for the closer look keeps the careful answer.
  Machine slow{4, 2};
  CHECK_EQUAL(slow.choose(256), 16u);
  CHECK_EQUAL(slow.asked.back(), 16u);
  CHECK_EQUAL(slow.choose(256, 2000), 32u);
}

TEST("chunk choice: one bad moment of the machine changes nothing") {
  int calls = 0;
  const uint32_t chunk = chooseChunk(256, 300, [&](uint32_t tokens) { return ++calls == 1 ? 200.0 : tokens * 0.1; });
  CHECK_EQUAL(chunk, 256u);
}

TEST("chunk choice: without a measurement it is the largest; small contexts have small ones") {
  CHECK_EQUAL(chooseChunk(256, 300, [](uint32_t) { return 0.0; }), 256u);
  CHECK_EQUAL(Machine{50}.choose(8), 8u);
  CHECK_EQUAL(Machine{50}.choose(100), 16u);
  CHECK_EQUAL(Machine{0.1}.choose(100), 64u);
}
