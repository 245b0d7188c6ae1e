// Internal: a JSON schema as a GBNF grammar, through llama.cpp's converter. That one passes over what it cannot say;
// here every keyword is enforced or refused. Schemas come from requests and are not trusted. Knows no tokens.
#pragma once

#include <string>

namespace llamaestro {

// The grammar of `schema` (JSON text). `oneOf` is read as `anyOf`; objects with `properties` have no others unless
// `additionalProperties` allows them. Throws Failure unsupported_schema with the keyword in its message and in
// details.keyword, or invalid_request: not JSON, longer than kMaxGrammarBytes, more than kMaxGrammarDepth schemas deep.
std::string schemaToGrammar(const std::string& schema);

}  // namespace llamaestro
