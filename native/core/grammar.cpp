#include "grammar.h"

#include <algorithm>
#include <cmath>

#include "big-stack.h"
#include "error.h"
#include "llama-grammar.h"
#include "options.h"
#include "text-stream.h"

namespace llamaestro {
namespace {

// A step is some ten nanoseconds (see the patch). A string of a schema over 150,000 tokens takes about two million.
constexpr int64_t kBuildSteps = 20'000'000;
constexpr int64_t kTokenSteps = 50'000'000;
constexpr int kTriedCharacters = 32;
constexpr size_t kMaxShownBytes = 200;
constexpr const char* kEndless = "it has a rule that never ends";

void armBudget(int64_t steps) {
#ifdef LLAMAESTRO_GRAMMAR_BUDGET
  llama_grammar_budget::set(steps);
#endif
}

std::string shortened(const std::string& text) {
  if (text.size() <= kMaxShownBytes) return cleanUtf8(text, nullptr);
  std::string rest;
  return cleanUtf8(text.substr(0, kMaxShownBytes), &rest) + " …";
}

[[noreturn]] void refuse(const char* param, const std::string& why) {
  throw Failure(codes::kInvalidRequest, std::string(param) + " cannot be used: " + shortened(why), param);
}

// The end of the literal, the character class or the comment that begins at `at`.
size_t endOfQuoted(const std::string& source, size_t at) {
  const char begin = source[at];
  const char end = begin == '[' ? ']' : begin == '#' ? '\n' : '"';
  for (++at; at < source.size() && source[at] != end; ++at) {
    if (source[at] == '\\' && begin != '#') ++at;
  }
  return at;
}

const char* skipBlank(const char* at) {
  while (*at == ' ' || *at == '\t' || *at == '\r' || *at == '\n' || *at == '#') {
    if (*at == '#') {
      while (*at != '\0' && *at != '\n' && *at != '\r') ++at;
    } else {
      ++at;
    }
  }
  return at;
}

// As llama_grammar_parser::parse, which tells stderr what is wrong and us nothing.
void parseRules(llama_grammar_parser& parser, const std::string& source) {
  const char* at = skipBlank(source.c_str());
  while (*at != '\0') at = parser.parse_rule(at);
  for (const auto& [name, id] : parser.symbol_ids) {
    if (id >= parser.rules.size() || parser.rules[id].empty()) {
      throw std::runtime_error("the rule '" + name + "' is not defined");
    }
  }
  if (parser.symbol_ids.count("root") == 0) throw std::runtime_error("it has no rule named root");
}

// Goes where the first alternatives lead. What explodes, explodes in the first characters, mostly.
void tryCharacters(llama_grammar* grammar) {
  for (int i = 0; i < kTriedCharacters; ++i) {
    const llama_grammar_stacks& stacks = llama_grammar_get_stacks(grammar);
    const auto open = std::find_if(stacks.begin(), stacks.end(), [](const llama_grammar_stack& stack) {
      return !stack.empty() && stack.back()->type == LLAMA_GRETYPE_CHAR;
    });
    if (open == stacks.end()) return;
    llama_grammar_accept(grammar, open->back()->value);
    if (stacks.empty()) throw std::runtime_error(kEndless);
  }
}

}  // namespace

std::string grammarFault(const std::string& source) {
  if (source.size() > kMaxGrammarBytes) return "it is longer than " + std::to_string(kMaxGrammarBytes) + " bytes";
  if (source.find('\0') != std::string::npos) return "it holds a character of code 0";
  if (source.find_first_not_of(" \t\r\n") == std::string::npos) return "it is empty";
  uint32_t depth = 0;
  for (size_t i = 0; i < source.size(); ++i) {
    const char c = source[i];
    if (c == '"' || c == '[' || c == '#') {
      i = endOfQuoted(source, i);
    } else if (c == '(') {
      if (++depth > kMaxGrammarDepth) return "it nests more than " + std::to_string(kMaxGrammarDepth) + " levels";
    } else if (c == ')' && depth > 0) {
      --depth;
    }
  }
  return {};
}

void Grammar::Deleter::operator()(llama_grammar* grammar) const { llama_grammar_free_impl(grammar); }

void Grammar::build(const llama_vocab* vocab, const std::string& source, bool trusted) {
  if (!trusted) {
    const std::string fault = grammarFault(source);
    if (!fault.empty()) throw std::runtime_error(fault);
  }
  armBudget(kBuildSteps);
  {
    llama_grammar_parser parser(vocab);
    parseRules(parser, source);
  }
  const auto make = [&] {
    return llama_grammar_init_impl(vocab, source.c_str(), "root", false, nullptr, 0, nullptr, 0);
  };
  grammar_.reset(make());
  if (!grammar_) throw std::runtime_error("it is left-recursive");
  if (llama_grammar_get_stacks(grammar_.get()).empty()) throw std::runtime_error(kEndless);
  const std::unique_ptr<llama_grammar, Deleter> trial(make());
  tryCharacters(trial.get());
}

Grammar::Grammar(const llama_vocab* vocab, const std::string& source, const char* param, bool trusted) : param_(param) {
  try {
    runOnBigStack([&] { build(vocab, source, trusted); });
  } catch (const Failure&) {
    throw;
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& thrown) {
    refuse(param, thrown.what());
  }
}

Grammar::~Grammar() = default;
Grammar::Grammar(Grammar&&) noexcept = default;

bool Grammar::allows(llama_token token) const {
  llama_token_data one{token, 1.0f, 0.0f};
  llama_token_data_array array{&one, 1, -1, false};
  apply(array);
  return std::isfinite(one.logit);
}

void Grammar::apply(llama_token_data_array& candidates) const {
  armBudget(kTokenSteps);
  try {
    llama_grammar_apply_impl(*grammar_, &candidates);
  } catch (const std::runtime_error& thrown) {
    refuse(param_, thrown.what());
  }
}

void Grammar::accept(llama_token token) {
  armBudget(kTokenSteps);
  try {
    llama_grammar_accept_impl(*grammar_, token);
  } catch (const std::runtime_error& thrown) {
    refuse(param_, thrown.what());
  }
}

void Grammar::acceptPart(llama_token token, const std::string& bytes) {
  armBudget(kTokenSteps);
  try {
    llama_grammar_accept_token(*grammar_, token, bytes);
  } catch (const std::runtime_error& thrown) {
    refuse(param_, thrown.what());
  }
}

bool Grammar::mayEnd() const {
  const llama_grammar_stacks& stacks = llama_grammar_get_stacks(grammar_.get());
  return std::any_of(stacks.begin(), stacks.end(), [](const llama_grammar_stack& stack) { return stack.empty(); });
}

}  // namespace llamaestro
