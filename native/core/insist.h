// Internal: for what must happen although memory is short: the end of a request must be told.
#pragma once

#include <chrono>
#include <new>
#include <thread>

namespace llamaestro {

// Runs `body` until it finds the memory that it needs. It must be one that can be run again.
template <typename Body>
void insist(const Body& body) {
  for (;;) {
    try {
      return body();
    } catch (const std::bad_alloc&) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }
}

}  // namespace llamaestro
