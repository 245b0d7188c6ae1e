// Internal: runs a piece of work on a thread with a stack large enough for recursion over untrusted input (templates
// nest), and waits for it. Knows nothing of the work.
#pragma once

#include <functional>

namespace llamaestro {

// Runs `work` on a thread of its own with 256 MiB of stack (address space, not memory) and returns when it is done;
// what it throws is thrown here.
void runOnBigStack(const std::function<void()>& work);

}  // namespace llamaestro
