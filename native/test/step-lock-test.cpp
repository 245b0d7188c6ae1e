// The step lock between processes: forked children take turns, one is killed while it owns the turn.
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <thread>
#include <vector>

#include "harness.h"
#include "step-lock.h"

using namespace llamaestro;

namespace {

constexpr int kChildren = 4;

// What children tell each other and the test.
struct Board {
  std::atomic<uint32_t> inside{0};
  std::atomic<uint32_t> overlaps{0};
  std::atomic<uint32_t> turns[kChildren];
  std::atomic<uint32_t> owned{0};
  std::atomic<bool> stop{false};
};

Board* sharedBoard() {
  void* memory = mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  return new (memory) Board();
}

template <typename Body>
pid_t inChild(Body body) {
  const pid_t pid = fork();
  if (pid == 0) {
    body();
    _exit(0);
  }
  return pid;
}

const auto never = [] { return false; };

void wait(pid_t pid) {
  int status = 0;
  waitpid(pid, &status, 0);
}

void pause(int ms) { std::this_thread::sleep_for(std::chrono::milliseconds(ms)); }

}  // namespace

TEST("step lock: one process at a time, and everybody gets turns") {
  const std::string path = tests::scratchFolder() + "/lock";
  Board* board = sharedBoard();
  std::vector<pid_t> children;
  for (int i = 0; i < kChildren; ++i) {
    children.push_back(inChild([&] {
      StepLock lock(path);
      while (!board->stop) {
        lock.acquire(never);
        if (board->inside.fetch_add(1) != 0) board->overlaps.fetch_add(1);
        board->turns[i].fetch_add(1);
        std::this_thread::sleep_for(std::chrono::microseconds(200));
        board->inside.fetch_sub(1);
        lock.release();
      }
    }));
  }
  pause(400);
  board->stop = true;
  for (pid_t child : children) wait(child);
  CHECK_EQUAL(board->overlaps.load(), 0u);
  uint32_t fewest = UINT32_MAX;
  uint32_t most = 0;
  for (const auto& turns : board->turns) {
    fewest = std::min(fewest, turns.load());
    most = std::max(most, turns.load());
  }
  CHECK(fewest > 10);
  CHECK(most <= 2 * fewest + 10);
}

TEST("step lock: the turn of a killed owner is taken over") {
  const std::string path = tests::scratchFolder() + "/lock";
  Board* board = sharedBoard();
  const pid_t owner = inChild([&] {
    StepLock lock(path);
    lock.acquire(never);
    board->owned = 1;
    pause(60000);
  });
  while (board->owned == 0) pause(1);
  const pid_t waiter = inChild([&] {
    StepLock lock(path);
    lock.acquire(never);
    board->owned = 2;
    lock.release();
  });
  pause(100);
  CHECK_EQUAL(board->owned.load(), 1u);
  // Not waited for until the end: a zombie still has its pid.
  kill(owner, SIGKILL);
  wait(waiter);
  CHECK_EQUAL(board->owned.load(), 2u);
  wait(owner);
  StepLock lock(path);
  CHECK(lock.acquire(never));
  lock.release();
}

TEST("step lock: a killed waiter is skipped") {
  const std::string path = tests::scratchFolder() + "/lock";
  StepLock mine(path);
  CHECK(mine.acquire(never));
  const pid_t waiter = inChild([&] {
    StepLock lock(path);
    lock.acquire(never);
    pause(60000);
  });
  pause(100);
  kill(waiter, SIGKILL);
  wait(waiter);
  mine.release();
  StepLock other(path);
  CHECK(other.acquire(never));
  other.release();
}

TEST("step lock: a waiter that gives up leaves the line") {
  const std::string path = tests::scratchFolder() + "/lock";
  StepLock owner(path);
  StepLock impatient(path);
  CHECK(owner.acquire(never));
  std::atomic<bool> tired{false};
  std::thread waiter([&] { CHECK(!impatient.acquire([&] { return tired.load(); })); });
  pause(20);
  tired = true;
  impatient.wake();
  waiter.join();
  owner.release();
  StepLock next(path);
  CHECK(next.acquire(never));
  next.release();
}
