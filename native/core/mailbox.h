// Internal: a bounded queue from any thread to one reader. Knows nothing of what it carries.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <utility>
#include <vector>

namespace llamaestro {

template <typename T>
class Mailbox {
 public:
  explicit Mailbox(size_t capacity) : capacity_(capacity) {}

  enum class Post { Taken, Full, Closed };

  // Any thread; never blocks.
  Post post(T item) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (closed_) return Post::Closed;
      if (items_.size() >= capacity_) return Post::Full;
      items_.push_back(std::move(item));
    }
    ready_.notify_one();
    return Post::Taken;
  }

  // Wakes the reader without an item: something it watches has changed.
  void nudge() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      nudged_ = true;
    }
    ready_.notify_one();
  }

  // No more items; what is inside can still be taken. Idempotent.
  void close() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      closed_ = true;
    }
    ready_.notify_one();
  }

  // All items at once, possibly none. With `wait` it sleeps until there is one, a nudge, or the end.
  std::vector<T> take(bool wait) {
    std::unique_lock<std::mutex> lock(mutex_);
    if (wait) ready_.wait(lock, [this] { return !items_.empty() || nudged_ || closed_; });
    nudged_ = false;
    std::vector<T> taken;
    taken.reserve(items_.size());
    for (T& item : items_) taken.push_back(std::move(item));
    items_.clear();
    return taken;
  }

 private:
  const size_t capacity_;
  std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<T> items_;
  bool nudged_ = false;
  bool closed_ = false;
};

}  // namespace llamaestro
