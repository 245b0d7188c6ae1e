#include "log-hub.h"

#include <unistd.h>

#include <atomic>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <thread>

#include "assert-trap.h"
#include "ggml.h"
#include "llama.h"
#include "log-sink.h"

namespace llamaestro {
namespace {

struct KeptLine {
  LogLine line;
  std::thread::id thread;
};

// Leaked on purpose: a thread of a backend may log while static destructors run.
struct Hub {
  std::mutex mutex;
  std::deque<KeptLine> lines;
  uint64_t newest = 0;
  struct Listener {
    int level;
    LogListener call;
  };
  std::map<uint64_t, Listener> listeners;
  uint64_t lastListener = 0;
  std::atomic<int> stderrLevel{0};
};

Hub& hub() {
  static Hub* instance = new Hub();
  return *instance;
}

// A line under way: llama.cpp sends lines in pieces, CONT marks a later piece.
struct Unfinished {
  std::string text;
  int level = 0;
};
thread_local Unfinished unfinished;

void keepLine(int level, std::string text) {
  Hub& all = hub();
  const int toStderr = all.stderrLevel.load(std::memory_order_relaxed);
  if (toStderr > 0 && level >= toStderr) fprintf(stderr, "%s\n", text.c_str());
  std::lock_guard<std::mutex> lock(all.mutex);
  all.lines.push_back({{++all.newest, level, std::move(text)}, std::this_thread::get_id()});
  for (const auto& [id, listener] : all.listeners) {
    if (level >= listener.level) listener.call(all.lines.back().line);
  }
  if (all.lines.size() > kKeptLogLines) all.lines.pop_front();
}

// llama.cpp ends a failed load with a line that repeats just that.
bool saysNothing(const std::string& line) {
  const std::string end = ": failed to load model";
  return line.size() >= end.size() && line.compare(line.size() - end.size(), end.size(), end) == 0;
}

void onLog(ggml_log_level level, const char* text, void*) { addLogText(static_cast<int>(level), text); }

void onAbort(const char* message) {
  throwIfTrapped(message);
  static const char kPrefix[] = "llamaestro: llama.cpp ends this process: ";
  // Only a last word: ggml calls abort() afterwards whatever happens here.
  (void)!write(STDERR_FILENO, kPrefix, sizeof(kPrefix) - 1);
  (void)!write(STDERR_FILENO, message, strlen(message));
  (void)!write(STDERR_FILENO, "\n", 1);
}

}  // namespace

void addLogText(int level, const char* text) {
  constexpr size_t kMaxLineBytes = 4096;
  if (level != GGML_LOG_LEVEL_CONT) unfinished.level = level;
  for (const char* at = text; *at != '\0'; ++at) {
    if (*at != '\n') {
      if (unfinished.text.size() < kMaxLineBytes) unfinished.text.push_back(*at);
      continue;
    }
    if (!unfinished.text.empty()) keepLine(unfinished.level, std::move(unfinished.text));
    unfinished.text.clear();
  }
}

void installLogHub() {
  static std::once_flag once;
  std::call_once(once, [] {
    llama_log_set(onLog, nullptr);
    ggml_set_abort_callback(onAbort);
    llama_backend_init();
  });
}

std::vector<LogLine> recentLogLines(uint64_t after) {
  Hub& all = hub();
  std::lock_guard<std::mutex> lock(all.mutex);
  std::vector<LogLine> found;
  for (const KeptLine& kept : all.lines) {
    if (kept.line.number > after) found.push_back(kept.line);
  }
  return found;
}

uint64_t addLogListener(int level, LogListener listener) {
  Hub& all = hub();
  std::lock_guard<std::mutex> lock(all.mutex);
  all.listeners.emplace(++all.lastListener, Hub::Listener{level, std::move(listener)});
  return all.lastListener;
}

void removeLogListener(uint64_t id) {
  Hub& all = hub();
  std::lock_guard<std::mutex> lock(all.mutex);
  all.listeners.erase(id);
}

std::string lastErrorLine(uint64_t after) {
  Hub& all = hub();
  std::lock_guard<std::mutex> lock(all.mutex);
  for (auto kept = all.lines.rbegin(); kept != all.lines.rend() && kept->line.number > after; ++kept) {
    if (kept->line.level != GGML_LOG_LEVEL_ERROR || kept->thread != std::this_thread::get_id()) continue;
    if (!saysNothing(kept->line.text)) return kept->line.text;
  }
  return {};
}

uint64_t newestLogNumber() {
  Hub& all = hub();
  std::lock_guard<std::mutex> lock(all.mutex);
  return all.newest;
}

void setLogToStderr(int level) { hub().stderrLevel.store(level, std::memory_order_relaxed); }

}  // namespace llamaestro
