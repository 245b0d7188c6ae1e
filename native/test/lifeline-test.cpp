#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <thread>

#include "driver.h"
#include "harness.h"
#include "lifeline.h"

using namespace llamaestro;

namespace {

// A child with a lifeline on its end of a socket; it never looks at the socket itself, as a blocked event loop would
// not.
pid_t hostOn(int ours, int theirs) {
  const pid_t pid = fork();
  if (pid == 0) {
    close(ours);
    LifelineOptions options;
    options.fd = theirs;
    options.intervalMs = 20;
    options.exitCode = 77;
    if (!startLifeline(options).ok()) _exit(1);
    for (;;) pause();
  }
  close(theirs);
  return pid;
}

int exitCodeOf(pid_t pid) {
  int status = 0;
  waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

TEST("lifeline: heartbeats come as fixed records, and the end of the parent ends the process") {
  int ends[2];
  CHECK_EQUAL(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  const pid_t host = hostOn(ends[0], ends[1]);
  uint64_t lastMs = 0;
  for (uint64_t i = 0; i < 3; ++i) {
    HeartbeatRecord record;
    CHECK_EQUAL(recv(ends[0], &record, sizeof(record), MSG_WAITALL), static_cast<ssize_t>(sizeof(record)));
    CHECK_EQUAL(record.magic, 0x42484c4cu);
    CHECK_EQUAL(record.bytes, 64u);
    CHECK_EQUAL(record.number, i);
    CHECK(record.monotonicMs >= lastMs);
    lastMs = record.monotonicMs;
  }
  // Bytes from the parent mean nothing.
  CHECK_EQUAL(write(ends[0], "hello", 5), 5);
  HeartbeatRecord record;
  CHECK_EQUAL(recv(ends[0], &record, sizeof(record), MSG_WAITALL), static_cast<ssize_t>(sizeof(record)));
  close(ends[0]);
  CHECK_EQUAL(exitCodeOf(host), 77);
}

TEST("lifeline: a parent that stops reading does not block it") {
  int ends[2];
  CHECK_EQUAL(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  const int small = 1;
  setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
  const pid_t host = hostOn(ends[0], ends[1]);
  std::this_thread::sleep_for(std::chrono::milliseconds(800));
  close(ends[0]);
  CHECK_EQUAL(exitCodeOf(host), 77);
}

TEST("lifeline: one per process, with numbers in range") {
  LifelineOptions options;
  options.fd = 12345;
  CHECK_EQUAL(startLifeline(options).error().param, "fd");
  int ends[2];
  CHECK_EQUAL(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  options.fd = ends[0];
  options.intervalMs = 1;
  CHECK_EQUAL(startLifeline(options).error().param, "intervalMs");
  options.intervalMs = 1000;
  CHECK(startLifeline(options).ok());
  CHECK(!startLifeline(options).ok());
  stopLifeline();
  stopLifeline();
  CHECK(startLifeline(options).ok());
  stopLifeline();
  close(ends[0]);
  close(ends[1]);
}

TEST("lifeline: the record sums up the engines of the process") {
  tests::Driver driver(tests::loadOptions("tiny"));
  const HeartbeatRecord before = currentHeartbeat();
  driver.waitFinished(driver.submit(tests::textRequest("Hello", 5)));
  const HeartbeatRecord after = currentHeartbeat();
  CHECK(after.steps > before.steps);
  CHECK(after.generatedTokens > before.generatedTokens);
  CHECK(after.promptTokens > before.promptTokens);
  CHECK_EQUAL(after.engines, before.engines);
  CHECK(after.engines >= 1);
}
