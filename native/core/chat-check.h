// Internal: what a messages prompt may hold before a template sees it: counts, sizes, nesting, words. Pure; knows no
// template.
#pragma once

#include "options.h"

namespace llamaestro {

// Throws Failure invalid_request naming the field: messages, tools, toolChoice, templateArguments.
void checkChat(const Prompt& prompt);

}  // namespace llamaestro
