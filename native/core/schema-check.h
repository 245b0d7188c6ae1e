// Internal: which keywords of a JSON schema llama.cpp's converter really enforces, by the kind of value it takes the
// schema for. Everything else is refused by name. Pure; makes no grammars.
#pragma once

#include <string>
#include <vector>

#include "error.h"

class common_json;

namespace llamaestro {

// Throws Failure unsupported_schema or invalid_request (see schema-grammar.h). Returns the patterns of strings, which
// only the converter can judge.
std::vector<std::string> checkSchema(const common_json& root);

// "'keyword' cannot be enforced: <why> not expressible".
Failure unsupportedKeyword(const std::string& keyword, const std::string& why);

}  // namespace llamaestro
