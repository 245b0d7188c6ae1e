#include "schema-grammar.h"

#include <vector>

#include "big-stack.h"
#include "error.h"
#include "json-schema-to-grammar.h"
#include "options.h"
#include "schema-check.h"

namespace llamaestro {
namespace {

constexpr uint32_t kMaxJsonDepth = 4 * kMaxGrammarDepth;
constexpr size_t kMaxMadeGrammarBytes = 1 << 20;

[[noreturn]] void refuse(const std::string& why) {
  throw Failure(codes::kInvalidRequest, "jsonSchema cannot be used: " + why, "jsonSchema");
}

void checkNesting(const std::string& text) {
  uint32_t depth = 0;
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c == '\\') ++i;
      if (c == '"') quoted = false;
    } else if (c == '"') {
      quoted = true;
    } else if (c == '{' || c == '[') {
      if (++depth > kMaxJsonDepth) refuse("it nests more than " + std::to_string(kMaxJsonDepth) + " levels of JSON");
    } else if ((c == '}' || c == ']') && depth > 0) {
      --depth;
    }
  }
}

std::string convert(const common_json& schema) {
  std::string grammar;
  try {
    grammar = json_schema_to_grammar(schema);
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& thrown) {
    refuse(std::string(thrown.what()).substr(0, 200));
  }
  if (grammar.size() > kMaxMadeGrammarBytes) refuse("its grammar is longer than a MiB");
  return grammar;
}

// The converter takes any string where it does not know a pattern, and says so in the log only.
void checkPattern(const std::string& pattern) {
  const std::string grammar = convert(common_json::object({{"type", "string"}, {"pattern", pattern}}));
  if (grammar.find("root ::= string\n") != std::string::npos) throw unsupportedKeyword("pattern", "this one is");
}

}  // namespace

std::string schemaToGrammar(const std::string& schema) {
  if (schema.size() > kMaxGrammarBytes) refuse("it is longer than " + std::to_string(kMaxGrammarBytes) + " bytes");
  checkNesting(schema);
  std::string grammar;
  runOnBigStack([&] {
    const common_json root = common_json::parse_no_throw(schema);
    if (root.is_discarded()) refuse("it is not JSON");
    for (const std::string& pattern : checkSchema(root)) checkPattern(pattern);
    grammar = convert(root);
  });
  return grammar;
}

}  // namespace llamaestro
