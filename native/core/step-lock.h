// Internal: the lock by which engines of one machine take turns on the CPU, held for one llama_decode. First come,
// first served, across processes; an owner or waiter that dies is skipped. Knows a file, not models.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace llamaestro {

class StepLock {
 public:
  // Opens or makes the file (its folder must exist). Several locks on one path, in one process or many, take turns.
  // Throws Failure load_failed.
  explicit StepLock(const std::string& path);
  ~StepLock();
  StepLock(const StepLock&) = delete;
  StepLock& operator=(const StepLock&) = delete;

  // Waits for the turn. False when `giveUp` became true meanwhile; it is asked about every 50 ms and after `wake`.
  bool acquire(const std::function<bool()>& giveUp);
  // Passes the turn on. Only after acquire gave true.
  void release();
  // Makes a waiting acquire ask `giveUp` at once. Any thread.
  void wake();

 private:
  struct Shared;
  struct Entry;
  void enqueue();
  bool isQueued() const;
  void dropDead();
  void wakeFirst();
  Entry* first() const;

  int fd_ = -1;
  Shared* shared_ = nullptr;
  int mine_ = -1;  // index of the entry, -1 when not in line
  uint64_t myTicket_ = 0;
  uint64_t startTime_ = 0;
};

}  // namespace llamaestro
