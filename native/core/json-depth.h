// Internal and pure: how deeply a JSON text nests, asked before anything recursive reads it.
#pragma once

#include <cstdint>
#include <string>

namespace llamaestro {

// Levels of objects and lists at the deepest place. Of a text that is no JSON it is still an upper bound of what a
// parser can descend to.
uint32_t jsonDepth(const std::string& text);

}  // namespace llamaestro
