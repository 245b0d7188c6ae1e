// Where llama.cpp's log goes: one callback for the process, lines joined and kept in a ring. Nothing reaches stderr
// unless asked. Knows levels and text, not who asked for the load.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace llamaestro {

struct LogLine {
  uint64_t number = 0;  // counts lines of the process, from 1
  int level = 0;        // 1 debug, 2 info, 3 warn, 4 error
  std::string text;     // no line end
};

inline constexpr uint32_t kKeptLogLines = 256;

// Installs the callback and the abort callback, which writes a last word to stderr unless an AssertTrap is set.
// Idempotent, any thread; every entry into llama.cpp does it by itself.
void installLogHub();

// Lines with a number above `after`, oldest first, at most kKeptLogLines; older ones are gone.
std::vector<LogLine> recentLogLines(uint64_t after = 0);

// Called for every line of at least its level, on the thread that logs, one line at a time. Must be quick, must not
// throw and must not log.
using LogListener = std::function<void(const LogLine&)>;
// Returns the number to remove it by.
uint64_t addLogListener(int level, LogListener listener);
// When this returns the listener is not called any more; unknown numbers are ignored.
void removeLogListener(uint64_t id);

// The newest line of level error written by this thread since `after` that names a cause; empty when there is none.
std::string lastErrorLine(uint64_t after = 0);

// Number of the newest line.
uint64_t newestLogNumber();

// Lines of at least `level` also go to stderr; 0 (the default) sends none.
void setLogToStderr(int level);

}  // namespace llamaestro
