#include "adapter-turns.h"

#include <algorithm>
#include <map>

#include "harness.h"

using namespace llamaestro;

namespace {

// The longest time that a set was silent, when each step takes what `msOf` says of its set.
template <typename MsOf>
double mostSilent(const std::vector<uint64_t>& present, uint32_t steps, MsOf msOf) {
  AdapterTurns turns;
  std::map<uint64_t, double> since;
  double now = 0;
  double most = 0;
  for (uint32_t step = 0; step < steps; ++step) {
    const uint64_t set = turns.next(present);
    const double ms = msOf(set);
    turns.spent(ms);
    most = std::max(most, now - since[set]);
    now += ms;
    since[set] = now;
  }
  for (uint64_t set : present) CHECK(since.count(set) > 0);
  return most;
}

}  // namespace

TEST("adapter turns: a set keeps its turn while others wait, and every set's turn comes round") {
  AdapterTurns turns;
  const std::vector<uint64_t> present = {7, 0, 7, UINT64_MAX, 3};
  std::vector<uint64_t> order;
  for (uint32_t step = 0; step < 5 * AdapterTurns::kStepsPerTurn; ++step) {
    const uint64_t set = turns.next(present);
    turns.spent(1);
    if (order.empty() || order.back() != set) order.push_back(set);
  }
  CHECK(order == (std::vector<uint64_t>{3, 7, UINT64_MAX, 0, 3}));
  // One that has gone gives its turn away at once.
  const std::vector<uint64_t> rest = {0, 7};
  CHECK_EQUAL(turns.next(rest), 7u);
  CHECK_EQUAL(turns.next({7}), 7u);
  CHECK_EQUAL(turns.next({0}), 0u);
}

TEST("adapter turns: long steps make short turns, so that nobody is silent for long") {
  const auto chunk = [](uint64_t) { return 250.0; };
  CHECK_EQUAL(mostSilent({1, 2}, 40, chunk), 500.0);
  CHECK_EQUAL(mostSilent({1, 2, 3}, 40, chunk), 500.0);
  // Two prompts at a time, and one that talks beside them.
  const auto mixed = [](uint64_t set) { return set == 5 ? 20.0 : 250.0; };
  CHECK(mostSilent({5, 6, 7}, 100, mixed) <= 500.0 + 16 * 20);
  // A step that takes for ever is a turn all the same.
  CHECK_EQUAL(mostSilent({1, 2}, 6, [](uint64_t set) { return set == 1 ? 9000.0 : 1.0; }), 9000.0);
  // Short steps: whole turns.
  CHECK_EQUAL(mostSilent({1, 2}, 100, [](uint64_t) { return 10.0; }), 160.0);
}

TEST("adapter turns: who had all the time gives way to the first that comes") {
  AdapterTurns turns;
  for (int step = 0; step < 100; ++step) {
    CHECK_EQUAL(turns.next({4}), 4u);
    turns.spent(300);
  }
  CHECK_EQUAL(turns.next({4, 9}), 9u);
  turns.spent(10);
  CHECK_EQUAL(turns.next({4, 9}), 9u);
}
