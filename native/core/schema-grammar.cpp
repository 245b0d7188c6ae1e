#include "schema-grammar.h"

#include <vector>

#include "big-stack.h"
#include "error.h"
#include "json-depth.h"
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
  if (jsonDepth(text) <= kMaxJsonDepth) return;
  refuse("it nests more than " + std::to_string(kMaxJsonDepth) + " levels of JSON");
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
