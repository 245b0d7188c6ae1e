// Keeps the end of the process in order: exit() runs static destructors (of GPU drivers too) while Node skips the
// cleanup hooks of the main thread, so decode threads have to end before that.
#pragma once

namespace llamaestro::binding {

// Registers the handler and pins this library in memory: a worker that ends unloads its addons, and code of ours may
// still be on some thread's stack. Idempotent.
void guardExit();

// Registers the handler once more, after the first load: handlers run newest first, and a load makes new statics.
void guardExitAfterLoad();

}  // namespace llamaestro::binding
