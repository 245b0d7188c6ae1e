// Threads for work that must stay off the JavaScript thread and off Node's own pool. `WorkLane` runs short jobs one
// after the other; `OwnThreads` gives each long one a thread. Knows no JavaScript.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace llamaestro::binding {

class WorkLane {
 public:
  static constexpr size_t kMaxQueued = 4096;

  ~WorkLane() { stop(); }

  // Queues a job, which must not throw; false when the lane is full or stopped. The first one starts the thread.
  bool post(std::function<void()> job);

  // Drops what has not begun and joins the thread; idempotent.
  void stop();

 private:
  void run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> queue_;
  std::thread thread_;
  bool stopped_ = false;
};

class OwnThreads {
 public:
  ~OwnThreads() { join(); }

  // Runs `body`, which must not throw, on a new thread. Joins those that have ended.
  void run(std::function<void()> body);

  // Threads that have not ended.
  size_t running();

  // Waits for all of them.
  void join();

 private:
  struct Entry {
    std::thread thread;
    std::shared_ptr<std::atomic<bool>> ended;
  };

  void reap();

  std::mutex mutex_;
  std::vector<Entry> entries_;
};

}  // namespace llamaestro::binding
