#include "admission.h"

#include <string>

#include "harness.h"

using namespace llamaestro;

namespace {

Claim claim(uint64_t arrival, int32_t priority = 0, uint32_t cells = 100, uint32_t growth = 0) {
  Claim one;
  one.arrival = arrival;
  one.priority = priority;
  one.cells = cells;
  one.growth = growth;
  one.group = arrival;
  return one;
}

// Arrivals in order.
std::string say(const std::vector<Claim>& claims, const std::vector<size_t>& order) {
  std::string text;
  for (size_t i : order) text += (text.empty() ? "" : " ") + std::to_string(claims[i].arrival);
  return text;
}

std::string order(const std::vector<Claim>& waiting) { return say(waiting, admissionOrder(waiting)); }

std::string leaving(const Claim& next, const std::vector<Claim>& running, const Room& room) {
  return say(running, whoGivesWayTo(next, running, room));
}

}  // namespace

TEST("admission: by priority, then by arrival") {
  CHECK_EQUAL(order({claim(3), claim(1), claim(2)}), "1 2 3");
  CHECK_EQUAL(order({claim(1), claim(2, 5), claim(3, -5), claim(4, 5)}), "2 4 1 3");
}

TEST("admission: who waits long enough overtakes any priority") {
  Claim patient = claim(2, -10);
  patient.waitedSteps = 20 * kStepsPerLevel - 1;
  CHECK_EQUAL(order({claim(1, 10), patient}), "1 2");
  patient.waitedSteps = 21 * kStepsPerLevel;
  CHECK_EQUAL(order({claim(1, 10), patient}), "2 1");
}

TEST("admission: slots with cells of their own only count slots") {
  const Room room{2, 0};
  CHECK(admits({claim(1, 0, 1000000)}, claim(2, 0, 1000000, 1000000), room));
  CHECK(!admits({claim(1), claim(2)}, claim(3), room));
  CHECK(holds({claim(1, 0, 1000000), claim(2, 0, 1000000)}, room));
}

TEST("admission: in a shared cache everybody gets what it has and some tokens more") {
  const Room room{4, 1024};
  CHECK(admits({claim(1, 0, 500)}, claim(2, 0, 524), room));
  CHECK(!admits({claim(1, 0, 500)}, claim(2, 0, 525), room));
  // 1024 / (2 x 4) = 128 tokens are promised to each, or what it may generate.
  CHECK(admits({claim(1, 0, 500, 5000)}, claim(2, 0, 268, 5000), room));
  CHECK(!admits({claim(1, 0, 500, 5000)}, claim(2, 0, 269, 5000), room));
  CHECK(admits({claim(1, 0, 500, 10)}, claim(2, 0, 504, 10), room));
  CHECK(admits({}, claim(2, 0, 1024, 5000), room));
}

TEST("admission: cells in common count once") {
  const Room room{4, 1024};
  Claim first = claim(1, 0, 800);
  Claim second = claim(2, 0, 810);
  first.sharedCells = second.sharedCells = 780;
  CHECK(!admits({first}, second, room));
  second.group = first.group;
  CHECK(admits({first}, second, room));
  CHECK(holds({first, second}, room));
}

TEST("admission: the newest of the lowest priority gives way, never the only one") {
  const std::vector<Claim> running = {claim(1), claim(4), claim(2, -1), claim(3, -1)};
  CHECK_EQUAL(*whoGivesWay(running), 3u);
  CHECK_EQUAL(*whoGivesWay({claim(1), claim(2)}), 1u);
  CHECK(!whoGivesWay({claim(1)}));
  CHECK(!holds({claim(1, 0, 600), claim(2, 0, 425)}, {2, 1024}));
  CHECK(holds({claim(1, 0, 600), claim(2, 0, 424)}, {2, 1024}));
}

TEST("admission: only lower priorities give way, and no more of them than needed") {
  const Room slots{2, 0};
  CHECK_EQUAL(leaving(claim(3), {claim(1), claim(2)}, slots), "");
  CHECK_EQUAL(leaving(claim(3, 1), {claim(1), claim(2)}, slots), "2");
  CHECK_EQUAL(leaving(claim(3, 1), {claim(1, -1), claim(2)}, slots), "1");
  const Room cells{4, 1024};
  CHECK_EQUAL(leaving(claim(5, 1, 500), {claim(1, 0, 300), claim(2, 0, 300), claim(3, 0, 300)}, cells), "3 2");
  CHECK_EQUAL(leaving(claim(5, 1, 900), {claim(1, 2, 600), claim(2, 0, 300)}, cells), "");
}
