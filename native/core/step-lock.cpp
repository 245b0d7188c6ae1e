#include "step-lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <fstream>
#include <sstream>
#include <thread>

#ifdef __linux__
#include <linux/futex.h>
#include <sys/syscall.h>
#endif

#include "error.h"

namespace llamaestro {
namespace {

constexpr uint32_t kEntries = 256;
constexpr uint64_t kLayout = 0x31305045544c4c01u;  // changes when Shared changes
constexpr long kWatchNs = 50'000'000;              // how long a dead owner can hold the others up

// Start time of a process in clock ticks since boot, 0 when it is gone or a zombie. With the pid it names a process for
// good: pids are used again.
uint64_t processStart(pid_t pid) {
#ifdef __linux__
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  if (!std::getline(file, line)) return 0;
  // The name in parentheses may hold anything; fields are counted from behind it. State is the 3rd, start the 22nd.
  std::istringstream fields(line.substr(std::min(line.size(), line.rfind(')') + 1)));
  std::string state;
  fields >> state;
  if (state == "Z" || state == "X") return 0;
  std::string field;
  for (int i = 4; i <= 22; ++i) fields >> field;
  return std::strtoull(field.c_str(), nullptr, 10);
#else
  return kill(pid, 0) == 0 || errno == EPERM ? 1 : 0;
#endif
}

void sleepOn(std::atomic<uint32_t>& word, uint32_t seen) {
#ifdef __linux__
  const timespec limit{0, kWatchNs};
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAIT, seen, &limit, nullptr, 0);
#else
  for (int i = 0; i < 50 && word.load() == seen; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
#endif
}

void wakeAll(std::atomic<uint32_t>& word) {
  word.fetch_add(1);
#ifdef __linux__
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAKE, INT32_MAX, nullptr, nullptr, 0);
#endif
}

// Guards the queue for the few instructions that change it. The kernel drops it when its holder dies, and each open
// file has its own, so it works between threads with different files too.
class QueueGuard {
 public:
  explicit QueueGuard(int fd) : fd_(fd) {
    while (flock(fd_, LOCK_EX) != 0 && errno == EINTR) {
    }
  }
  ~QueueGuard() { flock(fd_, LOCK_UN); }
  QueueGuard(const QueueGuard&) = delete;
  QueueGuard& operator=(const QueueGuard&) = delete;

 private:
  int fd_;
};

}  // namespace

// `ticket` is written last and cleared first: an entry of a process that dies in between is as if it never was.
struct StepLock::Entry {
  std::atomic<uint64_t> ticket;  // 0: free; the lowest one has the turn
  std::atomic<uint32_t> pid;
  std::atomic<uint32_t> word;  // futex of this waiter
  std::atomic<uint64_t> startTime;
};

struct StepLock::Shared {
  std::atomic<uint64_t> layout;
  std::atomic<uint64_t> lastTicket;
  Entry entries[kEntries];
};

StepLock::StepLock(const std::string& path) {
  static_assert(std::atomic<uint64_t>::is_always_lock_free, "the queue lies in memory shared between processes");
  fd_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd_ < 0) throw Failure(codes::kLoadFailed, "the step lock " + path + " cannot be opened: " + strerror(errno));
  QueueGuard guard(fd_);
  void* mapped = MAP_FAILED;
  if (ftruncate(fd_, sizeof(Shared)) == 0) {
    mapped = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
  }
  if (mapped == MAP_FAILED) {
    close(fd_);
    throw Failure(codes::kLoadFailed, "the step lock " + path + " cannot be mapped: " + strerror(errno));
  }
  shared_ = static_cast<Shared*>(mapped);
  if (shared_->layout.load() != kLayout) {
    memset(mapped, 0, sizeof(Shared));
    shared_->layout.store(kLayout);
  }
  startTime_ = processStart(getpid());
}

StepLock::~StepLock() {
  if (isQueued()) release();
  munmap(shared_, sizeof(Shared));
  close(fd_);
}

StepLock::Entry* StepLock::first() const {
  Entry* best = nullptr;
  for (Entry& entry : shared_->entries) {
    if (entry.ticket.load() != 0 && (best == nullptr || entry.ticket.load() < best->ticket.load())) best = &entry;
  }
  return best;
}

// Takes a place at the end of the line; mine_ stays -1 when all places are taken by the living.
void StepLock::enqueue() {
  QueueGuard guard(fd_);
  mine_ = -1;
  for (int attempt = 0; attempt < 2; ++attempt) {
    for (uint32_t i = 0; i < kEntries; ++i) {
      Entry& entry = shared_->entries[i];
      if (entry.ticket.load() != 0) continue;
      entry.pid.store(static_cast<uint32_t>(getpid()));
      entry.startTime.store(startTime_);
      myTicket_ = shared_->lastTicket.fetch_add(1) + 1;
      entry.ticket.store(myTicket_);
      mine_ = static_cast<int>(i);
      return;
    }
    dropDead();
  }
}

// False when others took this process for dead and removed its entry.
bool StepLock::isQueued() const { return mine_ >= 0 && shared_->entries[mine_].ticket.load() == myTicket_; }

// Removes every entry whose process is gone. The caller holds the guard.
void StepLock::dropDead() {
  for (Entry& entry : shared_->entries) {
    if (entry.ticket.load() == 0) continue;
    if (processStart(static_cast<pid_t>(entry.pid.load())) != entry.startTime.load()) entry.ticket.store(0);
  }
}

void StepLock::wakeFirst() {
  if (Entry* next = first()) wakeAll(next->word);
}

bool StepLock::acquire(const std::function<bool()>& giveUp) {
  bool slept = false;
  for (;;) {
    if (!isQueued()) enqueue();
    // More than 256 living waiters: going ahead without a turn is slow, waiting for ever is worse.
    if (mine_ < 0) return true;
    Entry& entry = shared_->entries[mine_];
    const uint32_t seen = entry.word.load();
    if (giveUp()) {
      release();
      return false;
    }
    {
      QueueGuard guard(fd_);
      if (slept && first() != &entry) {
        dropDead();
        wakeFirst();
      }
      if (isQueued() && first() == &entry) return true;
    }
    sleepOn(entry.word, seen);
    slept = true;
  }
}

void StepLock::release() {
  QueueGuard guard(fd_);
  if (isQueued()) shared_->entries[mine_].ticket.store(0);
  mine_ = -1;
  wakeFirst();
}

void StepLock::wake() {
  // Which entry is ours is known to the waiting thread only; waking all of this process's is harmless.
  for (Entry& entry : shared_->entries) {
    if (entry.ticket.load() != 0 && entry.pid.load() == static_cast<uint32_t>(getpid())) wakeAll(entry.word);
  }
}

}  // namespace llamaestro
