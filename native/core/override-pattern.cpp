#include "override-pattern.h"

#include <cctype>
#include <cstring>
#include <regex>

namespace llamaestro {
namespace {

bool isPlain(char c) { return isalnum(static_cast<unsigned char>(c)) != 0 || (c != '\0' && strchr("_-/.^$|", c)); }

// The place behind `{m,n}` that begins at `at`, or 0 with `fault` set.
size_t behindCounts(const std::string& pattern, size_t at, std::string& fault) {
  const size_t end = pattern.find('}', at);
  fault = "has a repeat that is not {m}, {m,} or {m,n}";
  if (end == std::string::npos || end == at + 1) return 0;
  int count = 0;
  for (size_t i = at + 1; i < end; ++i) {
    const bool isDigit = isdigit(static_cast<unsigned char>(pattern[i])) != 0;
    if (!isDigit && pattern[i] != ',') return 0;
    count = isDigit ? 10 * count + (pattern[i] - '0') : 0;
    if (count <= kMaxPatternCount) continue;
    fault = "has a repeat count above " + std::to_string(kMaxPatternCount);
    return 0;
  }
  fault.clear();
  return end + 1;
}

// The place behind a class in brackets that begins at `at`, or 0. Named classes and escapes are left out.
size_t behindClass(const std::string& pattern, size_t at) {
  const size_t end = pattern.find(']', at);
  if (end == std::string::npos || end <= at + 1) return 0;
  for (size_t i = at + 1; i < end; ++i) {
    if (!isPlain(pattern[i])) return 0;
  }
  return end + 1;
}

enum class Last { Nothing, Single, Group, Repeat };

struct Scan {
  Last last = Last::Nothing;
  int depth = 0;
  int repeats = 0;
};

// Reads one piece at `at`; the place behind it, or 0 with `fault` set.
size_t readPiece(const std::string& pattern, size_t at, Scan& scan, std::string& fault) {
  const char c = pattern[at];
  const auto refuse = [&](const char* what) {
    fault = what;
    return size_t{0};
  };
  if (c == '*' || c == '+' || c == '{') {
    if (scan.last != Last::Single) return refuse("repeats a group, a repeat or nothing");
    if (++scan.repeats > kMaxPatternRepeats) return refuse("has more than three repeats");
    scan.last = Last::Repeat;
    return c == '{' ? behindCounts(pattern, at, fault) : at + 1;
  }
  if (c == '?') {
    if (scan.last != Last::Single && scan.last != Last::Group) return refuse("has a ? behind a repeat or nothing");
    scan.last = Last::Repeat;
    return at + 1;
  }
  if (c == '(') {
    if (++scan.depth > kMaxPatternDepth) return refuse("has groups more than eight deep");
    scan.last = Last::Nothing;
    if (at + 1 < pattern.size() && pattern[at + 1] == '?') {
      return pattern.compare(at, 3, "(?:") == 0 ? at + 3 : refuse("has a group of a kind that is not allowed");
    }
    return at + 1;
  }
  if (c == ')') {
    if (--scan.depth < 0) return refuse("closes a group that is not open");
    scan.last = Last::Group;
    return at + 1;
  }
  scan.last = c == '|' || c == '^' || c == '$' ? Last::Nothing : Last::Single;
  if (c == '[') {
    const size_t behind = behindClass(pattern, at);
    return behind != 0 ? behind : refuse("has a class that is not of plain letters and ranges");
  }
  if (c == '\\') {
    const char next = at + 1 < pattern.size() ? pattern[at + 1] : '\0';
    if (next == '\0' || strchr("dws.^$|()[]{}*+?-/\\", next) == nullptr)
      return refuse("has an escape that is not allowed");
    return at + 2;
  }
  return isPlain(c) ? at + 1 : refuse("has a letter that no tensor name has");
}

}  // namespace

std::string patternFault(const std::string& pattern) {
  if (pattern.empty() || pattern.size() > kMaxPatternBytes) return "must have 1 to 256 bytes";
  Scan scan;
  std::string fault;
  for (size_t at = 0; at < pattern.size();) {
    at = readPiece(pattern, at, scan, fault);
    if (at == 0) return fault;
  }
  if (scan.depth != 0) return "leaves a group open";
  try {
    const std::regex compiled(pattern);
  } catch (const std::regex_error&) {
    return "is not a regular expression";
  }
  return {};
}

}  // namespace llamaestro
