// Internal: what submit and cancel share with the engine's thread. Knows no llama.cpp.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>

namespace llamaestro {

// A sequence or a pooled job: something with an id that can be cancelled.
struct Work {
  explicit Work(uint32_t workId) : id(workId) {}
  virtual ~Work() = default;
  const uint32_t id;
  std::atomic<bool> cancelled{false};
};

// Tells a thread inside a graph that it should look: a work was cancelled, or everything ends.
struct StopSignal {
  std::atomic<uint32_t> changes{0};
  std::atomic<bool> closing{false};
};

// All work that has not ended, by id. Any thread.
class WorkList {
 public:
  void add(const std::shared_ptr<Work>& work) {
    std::lock_guard<std::mutex> lock(mutex_);
    byId_[work->id] = work;
  }
  void remove(uint32_t id) {
    std::lock_guard<std::mutex> lock(mutex_);
    byId_.erase(id);
  }
  // Marks one; false when the id is unknown or already marked.
  bool cancel(uint32_t id) {
    std::lock_guard<std::mutex> lock(mutex_);
    const auto found = byId_.find(id);
    return found != byId_.end() && !found->second->cancelled.exchange(true);
  }

 private:
  std::mutex mutex_;
  std::unordered_map<uint32_t, std::shared_ptr<Work>> byId_;
};

}  // namespace llamaestro
