// Internal: the chat template of a model, compiled once and rendered with llama.cpp's own jinja. Templates come from
// model files and are not trusted: size, nesting and steps are limited. Knows messages, not tokens.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "options.h"

struct llama_model;
struct common_chat_templates;

namespace llamaestro {

// Why a template text cannot be used (too long, nested too deeply), or an empty string. Pure.
std::string templateFault(const std::string& source);

class ChatTemplate {
 public:
  // Compiles the template of `model` (ChatML where the file has none). A bad template is kept as a fault that `render`
  // throws: text prompts still work with such a model. `instead` replaces the template of the file.
  explicit ChatTemplate(const llama_model* model, const std::string& instead = {});
  ~ChatTemplate();

  // True when the file carries a template of its own.
  bool isExplicit() const { return isExplicit_; }

  // The prompt text up to where the assistant begins. Any thread. Throws Failure invalid_request (the template refuses
  // these messages) or model_unusable (the template itself is bad).
  std::string render(const std::vector<ChatMessage>& messages) const;

 private:
  struct Deleter {
    void operator()(common_chat_templates* templates) const;
  };
  std::string renderHere(const std::vector<ChatMessage>& messages, bool plain) const;

  std::unique_ptr<common_chat_templates, Deleter> templates_;
  bool isExplicit_ = false;
  bool isPlain_ = false;
  std::string fault_;
};

}  // namespace llamaestro
