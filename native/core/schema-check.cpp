#include "schema-check.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "json.h"
#include "options.h"

namespace llamaestro {
namespace {

using Words = std::set<std::string>;

// The converter counts pairs of optional properties, and repeats up to a threshold without a word.
constexpr size_t kMaxProperties = 256;
constexpr size_t kMaxNameBytes = 256;
constexpr size_t kMaxAlternatives = 1024;
constexpr size_t kMaxSchemas = 1024;
constexpr size_t kMaxAlike = 64;
constexpr double kMaxCount = 2000;
constexpr double kMaxBound = 9007199254740991.0;

const Words kAnnotations = {"title",    "description", "default",  "examples",  "$schema", "$id",
                            "$comment", "deprecated",  "readOnly", "writeOnly", "$defs",   "definitions"};

// Which keyword speaks of which types; the others are not known here.
const std::map<std::string, Words> kTypesOfKeyword = {{"properties", {"object"}},
                                                      {"required", {"object"}},
                                                      {"additionalProperties", {"object"}},
                                                      {"patternProperties", {"object"}},
                                                      {"propertyNames", {"object"}},
                                                      {"minProperties", {"object"}},
                                                      {"maxProperties", {"object"}},
                                                      {"items", {"array"}},
                                                      {"prefixItems", {"array"}},
                                                      {"minItems", {"array"}},
                                                      {"maxItems", {"array"}},
                                                      {"uniqueItems", {"array"}},
                                                      {"contains", {"array"}},
                                                      {"pattern", {"string"}},
                                                      {"format", {"string"}},
                                                      {"minLength", {"string"}},
                                                      {"maxLength", {"string"}},
                                                      {"minimum", {"integer", "number"}},
                                                      {"maximum", {"integer", "number"}},
                                                      {"exclusiveMinimum", {"integer", "number"}},
                                                      {"multipleOf", {"integer", "number"}},
                                                      {"exclusiveMaximum", {"integer", "number"}}};

// What the converter enforces for each type.
const std::map<std::string, Words> kEnforced = {
    {"object", {"properties", "required", "additionalProperties"}},
    {"array", {"items", "prefixItems", "minItems", "maxItems"}},
    {"string", {"pattern", "format", "minLength", "maxLength"}},
    {"integer", {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}},
    {"number", {}},
    {"boolean", {}},
    {"null", {}}};

[[noreturn]] void refuse(const std::string& why) {
  throw Failure(codes::kInvalidRequest, "jsonSchema cannot be used: " + why, "jsonSchema");
}

class SchemaCheck {
 public:
  void node(const common_json& schema, uint32_t depth);
  std::vector<std::string> patterns;

 private:
  size_t schemas_ = 0;
  void onlyBeside(const common_json& schema, const std::string& keyword, const Words& others) const;
  Words typesOf(const common_json& schema) const;
  void keywords(const common_json& schema, const Words& types) const;
  void object(const common_json& schema, uint32_t depth);
  void array(const common_json& schema, uint32_t depth);
  void string(const common_json& schema);
  void integer(const common_json& schema) const;
  void children(const common_json& list, uint32_t depth);
};

double countAt(const common_json& schema, const char* keyword, double otherwise) {
  if (!schema.contains(keyword)) return otherwise;
  const common_json& value = schema.at(keyword);
  const double count = value.is_number() ? value.get<double>() : -1;
  if (count < 0 || count != std::floor(count)) refuse(std::string(keyword) + " must be a whole number from 0");
  if (count > kMaxCount) throw unsupportedKeyword(keyword, "counts above 2000 are");
  return count;
}

void checkOrder(double low, double high, const char* keyword) {
  if (low > high) refuse(std::string(keyword) + " is less than its counterpart");
}

// What the converter decides by when there is no type.
std::string guessedType(const common_json& schema) {
  for (const char* type : {"object", "array", "string"}) {
    for (const std::string& keyword : kEnforced.at(type)) {
      if (keyword != "required" && keyword != "minItems" && keyword != "maxItems" && schema.contains(keyword))
        return type;
    }
  }
  return {};
}

// As the converter names the rule of a property: it numbers those that come out alike one by one.
std::string ruleName(const std::string& name) {
  std::string out;
  for (const char c : name) {
    const bool isKept = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
    if (isKept) out += c;
    if (!isKept && (out.empty() || out.back() != '-')) out += '-';
  }
  return out;
}

// Only these siblings say something beside a keyword that the converter takes alone.
void SchemaCheck::onlyBeside(const common_json& schema, const std::string& keyword, const Words& others) const {
  for (const auto& [name, value] : schema.items()) {
    if (name != keyword && others.count(name) == 0 && kAnnotations.count(name) == 0) {
      throw unsupportedKeyword(name, "beside " + keyword + " it is");
    }
  }
}

Words SchemaCheck::typesOf(const common_json& schema) const {
  Words types;
  if (!schema.contains("type")) {
    const std::string guessed = guessedType(schema);
    if (!guessed.empty()) types.insert(guessed);
    return types;
  }
  const common_json& type = schema.at("type");
  const auto add = [&](const common_json& one) {
    const std::string name = one.is_string() ? one.get<std::string>() : std::string();
    if (kEnforced.count(name) == 0) refuse("type must be a type of JSON or an array of them");
    if (!types.insert(name).second) refuse("type names '" + name + "' twice");
  };
  if (!type.is_array()) {
    add(type);
  } else {
    if (type.empty()) refuse("type must not be empty");
    for (const common_json& one : type) add(one);
  }
  return types;
}

void SchemaCheck::keywords(const common_json& schema, const Words& types) const {
  for (const auto& [name, value] : schema.items()) {
    if (name == "type" || kAnnotations.count(name) > 0) continue;
    const auto spoken = kTypesOfKeyword.find(name);
    if (spoken == kTypesOfKeyword.end() || types.empty()) throw unsupportedKeyword(name, "it is");
    for (const std::string& type : types) {
      if (spoken->second.count(type) > 0 && kEnforced.at(type).count(name) == 0) {
        throw unsupportedKeyword(name, "for the type " + type + " it is");
      }
      // A keyword of another type says nothing, where there is a type.
      if (spoken->second.count(type) == 0 && !schema.contains("type")) throw unsupportedKeyword(name, "it is");
    }
  }
}

void SchemaCheck::children(const common_json& list, uint32_t depth) {
  if (list.size() > kMaxAlternatives) refuse("a list holds more than " + std::to_string(kMaxAlternatives) + " schemas");
  for (const common_json& child : list) node(child, depth + 1);
}

void SchemaCheck::object(const common_json& schema, uint32_t depth) {
  size_t known = 0;
  if (schema.contains("properties")) {
    const common_json& properties = schema.at("properties");
    if (!properties.is_object()) refuse("properties must be an object");
    if (properties.size() > kMaxProperties) {
      refuse("an object has more than " + std::to_string(kMaxProperties) + " properties");
    }
    std::map<std::string, size_t> alike;
    for (const auto& [name, property] : properties.items()) {
      if (++alike[ruleName(name)] > kMaxAlike) refuse("too many property names differ in signs only");
      if (name.size() > kMaxNameBytes)
        refuse("a property name is longer than " + std::to_string(kMaxNameBytes) + " bytes");
      node(property, depth + 1);
    }
    known = properties.size();
  }
  if (schema.contains("required")) {
    const common_json& required = schema.at("required");
    if (!required.is_array()) refuse("required must be an array of names");
    for (const common_json& name : required) {
      if (!name.is_string()) refuse("required must be an array of names");
      if (known == 0 || !schema.at("properties").contains(name.get<std::string>())) {
        throw unsupportedKeyword("required", "a name without a schema in properties is");
      }
    }
  }
  if (schema.contains("additionalProperties") && !schema.at("additionalProperties").is_boolean()) {
    node(schema.at("additionalProperties"), depth + 1);
  }
}

void SchemaCheck::array(const common_json& schema, uint32_t depth) {
  const double fewest = countAt(schema, "minItems", 0);
  const double most = countAt(schema, "maxItems", kMaxCount);
  checkOrder(fewest, most, "maxItems");
  if (schema.contains("items") && schema.contains("prefixItems")) {
    throw unsupportedKeyword("prefixItems", "beside items it is");
  }
  for (const char* keyword : {"items", "prefixItems"}) {
    if (!schema.contains(keyword)) continue;
    const common_json& items = schema.at(keyword);
    if (!items.is_array()) {
      node(items, depth + 1);
      continue;
    }
    children(items, depth);
    // A tuple has exactly its items.
    const auto count = static_cast<double>(items.size());
    if (fewest > count) throw unsupportedKeyword("minItems", "more items than schemas are");
    if (schema.contains("maxItems") && most < count)
      throw unsupportedKeyword("maxItems", "fewer items than schemas are");
  }
}

void SchemaCheck::string(const common_json& schema) {
  const double shortest = countAt(schema, "minLength", 0);
  const double longest = countAt(schema, "maxLength", kMaxCount);
  checkOrder(shortest, longest, "maxLength");
  const bool hasLength = schema.contains("minLength") || schema.contains("maxLength");
  const std::string length = schema.contains("minLength") ? "minLength" : "maxLength";
  if (schema.contains("format")) {
    static const Words known = {"date", "time", "date-time", "uuid", "uuid1", "uuid2", "uuid3", "uuid4", "uuid5"};
    const common_json& format = schema.at("format");
    if (!format.is_string() || known.count(format.get<std::string>()) == 0) {
      throw unsupportedKeyword("format", "formats other than date, time, date-time and uuid are");
    }
    if (schema.contains("pattern")) throw unsupportedKeyword("format", "beside pattern it is");
    if (hasLength) throw unsupportedKeyword(length, "beside format it is");
  }
  if (!schema.contains("pattern")) return;
  if (hasLength) throw unsupportedKeyword(length, "beside pattern it is");
  if (!schema.at("pattern").is_string()) refuse("pattern must be a string");
  patterns.push_back(schema.at("pattern").get<std::string>());
}

void SchemaCheck::integer(const common_json& schema) const {
  double low = -kMaxBound;
  double high = kMaxBound;
  for (const char* keyword : {"minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"}) {
    if (!schema.contains(keyword)) continue;
    const common_json& value = schema.at(keyword);
    const double bound = value.is_number() ? value.get<double>() : NAN;
    if (!(std::fabs(bound) < kMaxBound)) refuse(std::string(keyword) + " must be a number between -2^53 and 2^53");
    const bool isLow = keyword == std::string("minimum") || keyword == std::string("exclusiveMinimum");
    const bool isOpen = keyword[0] == 'e';
    if (isOpen && schema.contains(isLow ? "minimum" : "maximum")) {
      throw unsupportedKeyword(keyword, "beside its inclusive counterpart it is");
    }
    if (isLow) low = isOpen ? std::floor(bound) + 1 : std::ceil(bound);
    if (!isLow) high = isOpen ? std::ceil(bound) - 1 : std::floor(bound);
  }
  checkOrder(low, high, "maximum");
}

void SchemaCheck::node(const common_json& schema, uint32_t depth) {
  if (depth > kMaxGrammarDepth) refuse("it nests more than " + std::to_string(kMaxGrammarDepth) + " levels");
  if (++schemas_ > kMaxSchemas) refuse("it holds more than " + std::to_string(kMaxSchemas) + " schemas");
  if (schema.is_boolean()) throw unsupportedKeyword(schema.dump(), "a boolean as a schema is");
  if (!schema.is_object()) refuse("a schema must be an object");
  for (const char* keyword : {"$defs", "definitions"}) {
    if (!schema.contains(keyword)) continue;
    if (!schema.at(keyword).is_object()) refuse(std::string(keyword) + " must be an object");
    for (const auto& [name, definition] : schema.at(keyword).items()) node(definition, depth + 1);
  }
  if (schema.contains("$ref")) {
    onlyBeside(schema, "$ref", {});
    const common_json& ref = schema.at("$ref");
    const std::string target = ref.is_string() ? ref.get<std::string>() : std::string();
    // Only what lies there has been looked at.
    if (target.rfind("#/$defs/", 0) != 0 && target.rfind("#/definitions/", 0) != 0) {
      throw unsupportedKeyword("$ref", "targets outside #/$defs and #/definitions are");
    }
    if (std::count(target.begin(), target.end(), '/') != 2) throw unsupportedKeyword("$ref", "deeper targets are");
    return;
  }
  for (const char* keyword : {"oneOf", "anyOf"}) {
    if (!schema.contains(keyword)) continue;
    onlyBeside(schema, keyword, {});
    if (!schema.at(keyword).is_array()) refuse(std::string(keyword) + " must be an array of schemas");
    return children(schema.at(keyword), depth);
  }
  for (const char* keyword : {"const", "enum"}) {
    if (!schema.contains(keyword)) continue;
    typesOf(schema);
    return onlyBeside(schema, keyword, {"type"});
  }
  const Words types = typesOf(schema);
  keywords(schema, types);
  if (types.count("object") > 0) object(schema, depth);
  if (types.count("array") > 0) array(schema, depth);
  if (types.count("string") > 0) string(schema);
  if (types.count("integer") > 0) integer(schema);
}

}  // namespace

Failure unsupportedKeyword(const std::string& keyword, const std::string& why) {
  const std::string name = keyword.substr(0, 64);
  return Failure(codes::kUnsupportedSchema,
                 "the schema keyword '" + name + "' cannot be enforced: " + why + " not expressible", "jsonSchema",
                 {{"keyword", name}});
}

std::vector<std::string> checkSchema(const common_json& root) {
  SchemaCheck check;
  check.node(root, 1);
  return std::move(check.patterns);
}

}  // namespace llamaestro
