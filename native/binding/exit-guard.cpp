#include "exit-guard.h"

#include <cstdlib>
#include <mutex>

#ifndef _WIN32
#include <dlfcn.h>
#include <unistd.h>
#endif

#include "environment.h"

namespace llamaestro::binding {

namespace {

#ifdef __GLIBC__
// A thread that does not end in time would race with static destructors, so these are skipped; the status is kept.
void onExit(int status, void*) {
  if (!Environment::shutdownAll()) _exit(status);
}
void registerHandler() { on_exit(onExit, nullptr); }
#else
void onExit() { Environment::shutdownAll(); }
void registerHandler() { std::atexit(onExit); }
#endif

void pinLibrary() {
#ifndef _WIN32
  static const int anchor = 0;
  Dl_info where;
  if (dladdr(&anchor, &where) != 0) dlopen(where.dli_fname, RTLD_NOW | RTLD_NODELETE);
#endif
}

}  // namespace

void guardExit() {
  static std::once_flag once;
  std::call_once(once, [] {
    pinLibrary();
    registerHandler();
  });
}

void guardExitAfterLoad() {
  static std::once_flag once;
  std::call_once(once, registerHandler);
}

}  // namespace llamaestro::binding
