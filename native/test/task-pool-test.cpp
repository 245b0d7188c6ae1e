#include "task-pool.h"

#include <atomic>
#include <set>
#include <stdexcept>

#include "harness.h"
#include "sampling-share.h"

using namespace llamaestro;

TEST("task pool: every task runs once, whatever the number of helpers") {
  TaskPool pool(3);
  for (const uint32_t helpers : {0u, 1u, 3u, 9u}) {
    for (const size_t count : {size_t{0}, size_t{1}, size_t{2}, size_t{50}}) {
      std::vector<std::atomic<int>> calls(count);
      pool.run(count, helpers, [&](size_t i) { calls[i].fetch_add(1); });
      for (const std::atomic<int>& one : calls) CHECK_EQUAL(one.load(), 1);
    }
  }
}

TEST("task pool: tasks run at a time") {
  TaskPool pool(1);
  std::atomic<int> inside{0};
  // Each waits for the other one: on a single thread this would never end.
  pool.run(2, 1, [&](size_t) {
    inside.fetch_add(1);
    while (inside.load() < 2) std::this_thread::yield();
  });
  CHECK_EQUAL(inside.load(), 2);
}

TEST("task pool: what a task throws comes out, and the pool goes on") {
  TaskPool pool(2);
  for (const uint32_t helpers : {0u, 2u}) {
    bool threw = false;
    try {
      pool.run(8, helpers, [](size_t i) {
        if (i == 5) throw std::runtime_error("five");
      });
    } catch (const std::runtime_error&) {
      threw = true;
    }
    CHECK(threw);
    std::atomic<int> calls{0};
    pool.run(8, helpers, [&](size_t) { calls.fetch_add(1); });
    CHECK_EQUAL(calls.load(), 8);
  }
}

TEST("sampling share: little work stays on one thread, and nobody is woken for nothing") {
  CHECK_EQUAL(samplingHelpers({}, 7, kWorthSharingUs), 0u);
  CHECK_EQUAL(samplingHelpers({50000}, 7, kWorthSharingUs), 0u);
  CHECK_EQUAL(samplingHelpers({10, 10, 10, 10, 10, 10, 10, 10}, 7, kWorthSharingUs), 0u);
  CHECK_EQUAL(samplingHelpers(std::vector<double>(8, 80), 7, kWorthSharingUs), 2u);
  CHECK_EQUAL(samplingHelpers(std::vector<double>(8, 10000), 7, kWorthSharingUs), 7u);
  CHECK_EQUAL(samplingHelpers(std::vector<double>(8, 10000), 1, kWorthSharingUs), 1u);
  CHECK_EQUAL(samplingHelpers(std::vector<double>(8, 10000), 0, kWorthSharingUs), 0u);
  CHECK_EQUAL(samplingHelpers(std::vector<double>(8, 80), 7, kWorthSharingOnCpuUs), 0u);
  CHECK_EQUAL(samplingHelpers(std::vector<double>(8, 1000), 7, kWorthSharingOnCpuUs), 3u);
  // One is as long as all the others: two threads do.
  CHECK_EQUAL(samplingHelpers({30000, 10000, 10000, 10000}, 7, kWorthSharingUs), 1u);
}
