#include "lifeline.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <mutex>
#include <thread>

#include "counters.h"

namespace llamaestro {
namespace {

constexpr uint32_t kMinIntervalMs = 20;
constexpr uint32_t kMaxIntervalMs = 60000;
// The parent is looked at this often even when the beat is slower.
constexpr uint64_t kWatchMs = 1000;

class Lifeline {
 public:
  Lifeline(const LifelineOptions& options, int wakeRead, int wakeWrite)
      : options_(options), wakeRead_(wakeRead), wakeWrite_(wakeWrite), parent_(getppid()), thread_([this] { run(); }) {}

  ~Lifeline() {
    (void)!write(wakeWrite_, "x", 1);
    thread_.join();
    close(wakeRead_);
    close(wakeWrite_);
  }

 private:
  void run() {
    // A dead reader must be an error code, not a signal that ends the process with a different exit code.
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    uint64_t nextBeatMs = monotonicMs();
    for (;;) {
      const uint64_t now = monotonicMs();
      if (now >= nextBeatMs) {
        sendBeat();
        nextBeatMs = now + options_.intervalMs;
      }
      const uint64_t waitMs = std::min<uint64_t>(nextBeatMs - std::min(nextBeatMs, monotonicMs()), kWatchMs);
      pollfd watched[2] = {{options_.fd, POLLIN, 0}, {wakeRead_, POLLIN, 0}};
      poll(watched, 2, static_cast<int>(waitMs));
      if (watched[1].revents != 0) return;
      // The parent process is asked too: another child may have inherited its end of the pipe and keep it open.
      if (isGone(watched[0].revents) || getppid() != parent_) _exit(options_.exitCode);
    }
  }

  // End of file, a reader that is gone, or an fd closed under us. Bytes from the parent mean nothing and are dropped.
  bool isGone(short events) const {
    if ((events & (POLLERR | POLLNVAL)) != 0) return true;
    if ((events & (POLLIN | POLLHUP)) == 0) return false;
    char dropped[256];
    const ssize_t got = read(options_.fd, dropped, sizeof(dropped));
    if (got > 0) return false;
    // A write-only pipe cannot be read: only its hang-up counts.
    if (got < 0 && errno == EBADF) return (events & POLLHUP) != 0;
    return got == 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
  }

  void sendBeat() {
    HeartbeatRecord record = currentHeartbeat();
    record.number = number_++;
    // A record is smaller than PIPE_BUF: it is written whole or not at all. When nobody reads, it is dropped.
    pollfd writable = {options_.fd, POLLOUT, 0};
    if (poll(&writable, 1, 0) != 1 || (writable.revents & POLLOUT) == 0) return;
    (void)!write(options_.fd, &record, sizeof(record));
  }

  const LifelineOptions options_;
  const int wakeRead_;
  const int wakeWrite_;
  const pid_t parent_;
  uint64_t number_ = 0;
  std::thread thread_;
};

std::mutex& lifelineMutex() {
  static std::mutex mutex;
  return mutex;
}

// Leaked when nobody stops it: the process ends with its thread running, and joining in a static destructor could hang.
Lifeline*& running() {
  static Lifeline* instance = nullptr;
  return instance;
}

}  // namespace

HeartbeatRecord currentHeartbeat() {
  HeartbeatRecord record;
  record.monotonicMs = monotonicMs();
  for (const auto& counters : allCounters()) {
    const EngineStats stats = counters->read();
    record.steps += stats.steps;
    record.promptTokens += stats.promptTokens;
    record.generatedTokens += stats.generatedTokens;
    record.running += stats.running;
    record.waiting += stats.waiting;
    record.stalledMs = std::max(record.stalledMs, static_cast<uint32_t>(std::min(stats.stalledMs, 4294967295.0)));
    ++record.engines;
  }
  return record;
}

Result<Done> startLifeline(const LifelineOptions& options) {
  return guarded<Done>([&] {
    if (options.intervalMs < kMinIntervalMs || options.intervalMs > kMaxIntervalMs) {
      throw Failure(codes::kInvalidRequest, "intervalMs must be from 20 to 60000", "intervalMs");
    }
    if (options.exitCode < 0 || options.exitCode > 255) {
      throw Failure(codes::kInvalidRequest, "exitCode must be from 0 to 255", "exitCode");
    }
    if (fcntl(options.fd, F_GETFD) < 0) throw Failure(codes::kInvalidRequest, "fd is not open", "fd");
    std::lock_guard<std::mutex> lock(lifelineMutex());
    if (running() != nullptr) throw Failure(codes::kInvalidRequest, "a lifeline runs already");
    int wake[2];
    if (pipe(wake) != 0) throw Failure(codes::kInternal, "no pipe could be made");
    fcntl(wake[0], F_SETFD, FD_CLOEXEC);
    fcntl(wake[1], F_SETFD, FD_CLOEXEC);
    running() = new Lifeline(options, wake[0], wake[1]);
    return Done{};
  });
}

void stopLifeline() {
  std::lock_guard<std::mutex> lock(lifelineMutex());
  delete running();
  running() = nullptr;
}

}  // namespace llamaestro
