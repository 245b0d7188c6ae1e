// Internal: turns a failed assertion of llama.cpp into an exception while a model is planned, created or given its
// context. Values of a damaged or hostile file meet assertions there that no check of ours foresees, and ending the
// process for them would end everybody's work. Not for computing: other threads would wait for the one that left.
#pragma once

#include <string>

namespace llamaestro {

// While one lives, a failed assertion on this thread throws std::runtime_error, which llama.cpp itself catches and logs
// like every other reason not to load. Its C files are compiled so that exceptions pass through them.
class AssertTrap {
 public:
  AssertTrap();
  ~AssertTrap();
  AssertTrap(const AssertTrap&) = delete;
  AssertTrap& operator=(const AssertTrap&) = delete;

  // True for a text, a log line say, that holds the message of such an exception.
  static bool wrote(const std::string& text);

 private:
  bool before_;
};

// For the abort callback: throws when a trap is set on this thread.
void throwIfTrapped(const char* message);

}  // namespace llamaestro
