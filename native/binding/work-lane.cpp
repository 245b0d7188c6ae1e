#include "work-lane.h"

#include <algorithm>
#include <utility>

namespace llamaestro::binding {

bool WorkLane::post(std::function<void()> job) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (stopped_ || queue_.size() >= kMaxQueued) return false;
  queue_.push_back(std::move(job));
  if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
  changed_.notify_one();
  return true;
}

void WorkLane::stop() {
  std::deque<std::function<void()>> dropped;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopped_ = true;
    dropped.swap(queue_);
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void WorkLane::run() {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stopped_ || !queue_.empty(); });
    if (stopped_) return;
    const std::function<void()> job = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    job();
    lock.lock();
  }
}

void OwnThreads::run(std::function<void()> body) {
  std::lock_guard<std::mutex> lock(mutex_);
  reap();
  auto ended = std::make_shared<std::atomic<bool>>(false);
  std::thread thread([body = std::move(body), ended]() mutable {
    body();
    body = nullptr;  // what it holds is released here, before anybody may take the thread for ended
    ended->store(true);
  });
  entries_.push_back({std::move(thread), std::move(ended)});
}

size_t OwnThreads::running() {
  std::lock_guard<std::mutex> lock(mutex_);
  reap();
  return entries_.size();
}

void OwnThreads::join() {
  std::vector<Entry> entries;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    entries.swap(entries_);
  }
  for (Entry& entry : entries) entry.thread.join();
}

void OwnThreads::reap() {
  const auto ended =
      std::partition(entries_.begin(), entries_.end(), [](const Entry& entry) { return !entry.ended->load(); });
  for (auto entry = ended; entry != entries_.end(); ++entry) entry->thread.join();
  entries_.erase(ended, entries_.end());
}

}  // namespace llamaestro::binding
