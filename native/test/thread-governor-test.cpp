// The policy of thread counts on machines that are written down: what a step takes with so many threads.
#include <cmath>
#include <functional>

#include "harness.h"
#include "thread-governor.h"

using namespace llamaestro;

namespace {

// Microseconds of the step with this number.
using Machine = std::function<double(uint32_t threads, uint32_t rows, uint32_t step)>;

struct Spent {
  double us = 0;
  uint32_t fewer = 0;  // steps with fewer threads than all
};

Spent run(ThreadGovernor& governor, uint32_t most, uint32_t steps, const Machine& machine) {
  Spent spent;
  for (uint32_t step = 0; step < steps; ++step) {
    const uint32_t rows = 1 + step / 3 % 5;
    const uint32_t threads = governor.threads(rows);
    CHECK(threads >= 1 && threads <= most);
    const double us = machine(threads, rows, step);
    governor.took(rows, us);
    spent.us += us;
    if (threads < most) ++spent.fewer;
  }
  return spent;
}

double quiet(uint32_t threads, uint32_t rows, uint32_t) { return 1000 + 8000.0 * rows / threads; }

// Somebody keeps half of the cores: whoever uses them waits at every operation.
double halfBusy(uint32_t threads, uint32_t rows, uint32_t step) {
  return quiet(threads, rows, step) * (threads > 4 ? 12 : 1.05);
}

}  // namespace

TEST("thread governor: all threads as long as nobody else wants the cores") {
  ThreadGovernor governor(8);
  CHECK_EQUAL(run(governor, 8, 20000, quiet).fewer, 0u);
  // One whose steps take now this long and now that.
  CHECK(run(governor, 8, 20000, [](uint32_t threads, uint32_t rows, uint32_t step) {
          return quiet(threads, rows, step) * (1 + 0.2 * (step % 7)) * (step % 40 == 0 ? 30 : 1);
        }).fewer < 100);
  // A context that grows.
  CHECK_EQUAL(run(governor, 8, 16000,
                  [](uint32_t threads, uint32_t rows, uint32_t step) {
                    return quiet(threads, rows, step) * (1 + step / 4000.0);
                  })
                  .fewer,
              0u);
}

TEST("thread governor: fewer where that is faster, and all again when the others have gone") {
  ThreadGovernor governor(8);
  run(governor, 8, 200, quiet);
  run(governor, 8, 200, halfBusy);
  const Spent busy = run(governor, 8, 4000, halfBusy);
  double best = 0;
  for (uint32_t step = 0; step < 4000; ++step) best += halfBusy(4, 1 + step / 3 % 5, step);
  CHECK(busy.us < 1.1 * best);
  CHECK(busy.fewer > 3950);
  run(governor, 8, 1100, quiet);
  CHECK_EQUAL(governor.threads(1), 8u);
  CHECK_EQUAL(run(governor, 8, 5000, quiet).fewer, 0u);
}

TEST("thread governor: down to one where every other core is taken") {
  ThreadGovernor governor(16);
  const Machine crowded = [](uint32_t threads, uint32_t rows, uint32_t step) {
    return quiet(threads, rows, step) * std::pow(4, std::log2(threads));
  };
  run(governor, 16, 300, quiet);
  run(governor, 16, 600, crowded);
  CHECK_EQUAL(governor.threads(1), 1u);
  // More of them than ever before: all threads, until it is known what such a step takes.
  for (uint32_t step = 0; step < ThreadGovernor::kWindow; ++step) {
    CHECK_EQUAL(governor.threads(20), 16u);
    governor.took(20, 20000);
  }
  CHECK_EQUAL(governor.threads(20), 1u);
  run(governor, 16, 800, quiet);
  CHECK_EQUAL(governor.threads(1), 16u);
}

TEST("thread governor: two threads stay two where they are slow and one is slower, and looking costs little") {
  ThreadGovernor governor(2);
  const Machine beside = [](uint32_t threads, uint32_t rows, uint32_t) {
    return 1000.0 * rows * (threads == 2 ? 1.7 : 1.95);
  };
  run(governor, 2, 200, [](uint32_t, uint32_t rows, uint32_t) { return 1000.0 * rows; });
  double wanted = 0;
  for (uint32_t step = 0; step < 20000; ++step) wanted += beside(2, 1 + step / 3 % 5, step);
  const Spent spent = run(governor, 2, 20000, beside);
  CHECK(spent.us < 1.005 * wanted);
  CHECK(spent.fewer > 0);
}

TEST("thread governor: a size of step that it has not seen yet, and one thread, are left alone") {
  ThreadGovernor one(1);
  CHECK_EQUAL(run(one, 1, 1000, quiet).fewer, 0u);
  ThreadGovernor governor(4);
  governor.took(1, 0);
  governor.took(1, -1);
  governor.took(1, NAN);
  governor.took(4000000000u, 1);
  CHECK_EQUAL(governor.threads(1), 4u);
}
