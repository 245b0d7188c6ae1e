#include "error.h"

#include <new>

namespace llamaestro {

namespace {

Error describe(const char* fallbackCode) {
  try {
    throw;
  } catch (const Failure& failure) {
    return failure.error();
  } catch (const std::bad_alloc&) {
    return Error{codes::kOutOfMemory, "the host has no memory left for this", {}, {}};
  } catch (const std::exception& thrown) {
    return Error{fallbackCode, thrown.what(), {}, {}};
  } catch (...) {
    return Error{codes::kInternal, "something that is not an exception was thrown", {}, {}};
  }
}

}  // namespace

Error currentError(const char* fallbackCode) {
  try {
    return describe(fallbackCode);
  } catch (...) {
    return Error{codes::kOutOfMemory, "no memory left", {}, {}};  // short enough to need none
  }
}

}  // namespace llamaestro
