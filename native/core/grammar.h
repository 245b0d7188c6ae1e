// Internal: a GBNF grammar under way: which tokens may come next, and where it stands. Grammars come from requests and
// are not trusted: size, nesting and steps are limited. Knows neither schemas nor probabilities.
#pragma once

#include <memory>
#include <string>

#include "llama.h"

struct llama_grammar;

namespace llamaestro {

// Why a grammar text is not even parsed (too long, nested too deeply), or an empty string. Pure.
std::string grammarFault(const std::string& source);

class Grammar {
 public:
  // Parses `source` (`trusted`: it was made here, so `grammarFault` does not apply) and tries its first characters.
  // Throws Failure invalid_request naming `param`: it has a fault, or it takes too many steps. `vocab` must outlive it.
  Grammar(const llama_vocab* vocab, const std::string& source, const char* param, bool trusted);
  ~Grammar();
  Grammar(Grammar&&) noexcept;

  // These throw Failure invalid_request when a token would take too many steps.

  // True when `token` may come next.
  bool allows(llama_token token) const;
  // Sets the logits of everything that may not come next to -infinity.
  void apply(llama_token_data_array& candidates) const;
  // Goes on by one token that is allowed.
  void accept(llama_token token);
  // The same by `bytes` of a token, for one of which only the end belongs to the grammar.
  void acceptPart(llama_token token, const std::string& bytes);

  // True when the text may end here.
  bool mayEnd() const;

 private:
  struct Deleter {
    void operator()(llama_grammar* grammar) const;
  };
  void build(const llama_vocab* vocab, const std::string& source, bool trusted);

  std::unique_ptr<llama_grammar, Deleter> grammar_;
  const char* param_;
};

}  // namespace llamaestro
