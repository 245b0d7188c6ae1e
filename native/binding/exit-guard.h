// The last guard at the end of the process, behind the 'exit' event and the cleanup hooks: exit() runs static
// destructors (of GPU drivers too), and no thread of ours may still run then.
#pragma once

namespace llamaestro::binding {

// Registers the handler and pins this library in memory: a worker that ends unloads its addons, and code of ours may
// still be on some thread's stack. Idempotent.
void guardExit();

// Registers the handler once more, after the first load: handlers run newest first, and a load makes new statics.
void guardExitAfterLoad();

}  // namespace llamaestro::binding
