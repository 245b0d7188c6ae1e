// Internal: a few threads that sleep until there is a set of tasks to share, and are made when there is the first one.
// Knows nothing of what it runs.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace llamaestro {

class TaskPool {
 public:
  // `helpers`: most threads beside the caller's.
  explicit TaskPool(uint32_t helpers) : most_(helpers) {}
  ~TaskPool();
  TaskPool(const TaskPool&) = delete;
  TaskPool& operator=(const TaskPool&) = delete;

  uint32_t helpers() const { return most_; }

  // Calls task(0) ... task(count - 1) on the caller's thread and on up to `helpers` others, and returns when all have
  // returned. Rethrows the first exception; some tasks may not have
  // been called then. One caller at a time.
  void run(size_t count, uint32_t helpers, const std::function<void(size_t)>& task);

 private:
  void makeThreads(uint32_t count);
  void help();
  // Takes tasks until there are none; the lock is held around them, not during them.
  void work(std::unique_lock<std::mutex>& lock);

  const uint32_t most_;
  std::vector<std::thread> threads_;  // of the caller alone
  std::mutex mutex_;
  std::condition_variable wanted_;
  std::condition_variable finished_;
  const std::function<void(size_t)>* task_ = nullptr;
  size_t count_ = 0;
  size_t next_ = 0;
  size_t done_ = 0;
  std::exception_ptr thrown_;
  bool ending_ = false;
};

}  // namespace llamaestro
