#include "task-pool.h"

#include <algorithm>
#include <system_error>
#include <utility>

namespace llamaestro {

TaskPool::~TaskPool() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    ending_ = true;
  }
  wanted_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

// A machine that has no thread to give costs time, nothing else.
void TaskPool::makeThreads(uint32_t count) {
  try {
    while (threads_.size() < count) threads_.emplace_back([this] { help(); });
  } catch (const std::system_error&) {
  }
}

void TaskPool::work(std::unique_lock<std::mutex>& lock) {
  while (next_ < count_) {
    const size_t index = next_++;
    std::exception_ptr thrown;
    lock.unlock();
    try {
      (*task_)(index);
    } catch (...) {
      thrown = std::current_exception();
    }
    lock.lock();
    if (thrown && !thrown_) thrown_ = thrown;
    if (++done_ == count_) finished_.notify_one();
  }
}

void TaskPool::help() {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    wanted_.wait(lock, [this] { return ending_ || next_ < count_; });
    if (ending_) return;
    work(lock);
  }
}

void TaskPool::run(size_t count, uint32_t helpers, const std::function<void(size_t)>& task) {
  helpers = std::min({helpers, most_, static_cast<uint32_t>(count > 0 ? count - 1 : 0)});
  if (helpers == 0) {
    for (size_t i = 0; i < count; ++i) task(i);
    return;
  }
  makeThreads(helpers);
  std::unique_lock<std::mutex> lock(mutex_);
  task_ = &task;
  count_ = count;
  next_ = 0;
  done_ = 0;
  for (uint32_t i = 0; i < helpers; ++i) wanted_.notify_one();
  work(lock);
  finished_.wait(lock, [this] { return done_ == count_; });
  task_ = nullptr;
  if (std::exception_ptr thrown = std::exchange(thrown_, nullptr)) std::rethrow_exception(thrown);
}

}  // namespace llamaestro
