// Internal and pure: fewer rows for an owner who takes the events of several steps at once.
#pragma once

#include "events.h"

namespace llamaestro {

// Neighbouring Tokens rows of one sequence become one row, in the place of the first; everything else, and the order
// within each sequence, stays as it is. `batch` is used up.
EventBatch mergeTokenRows(EventBatch batch);

}  // namespace llamaestro
