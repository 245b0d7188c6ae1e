#include "assert-trap.h"

#include <stdexcept>
#include <string>

namespace llamaestro {
namespace {

constexpr const char* kContradiction = "its values contradict each other: ";

thread_local bool isTrapped = false;

// "folder/file.c:12: GGML_ASSERT(x) failed" without the folders.
std::string withoutFolders(const std::string& message) {
  const size_t end = message.find(':');
  const size_t slash = message.rfind('/', end);
  return end == std::string::npos || slash == std::string::npos ? message : message.substr(slash + 1);
}

}  // namespace

AssertTrap::AssertTrap() : before_(isTrapped) { isTrapped = true; }
AssertTrap::~AssertTrap() { isTrapped = before_; }
bool AssertTrap::wrote(const std::string& text) { return text.find(kContradiction) != std::string::npos; }

void throwIfTrapped(const char* message) {
  if (isTrapped) throw std::runtime_error(kContradiction + withoutFolders(message));
}

}  // namespace llamaestro
