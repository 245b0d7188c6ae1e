#include "error.h"

#include <new>

namespace llamaestro {

Error currentError(const char* fallbackCode) {
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

}  // namespace llamaestro
