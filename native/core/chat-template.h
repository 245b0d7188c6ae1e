// Internal: the chat template of a model, compiled once and rendered with llama.cpp's own jinja. Templates come from
// model files and are not trusted: size, nesting and steps are limited. Knows messages, not tokens.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "options.h"

struct llama_model;
struct common_chat_params;
struct common_chat_templates;
struct common_chat_templates_inputs;

namespace llamaestro {

struct ChatSyntax;

// Why a template text cannot be used (too long, nested too deeply), or an empty string. Pure.
std::string templateFault(const std::string& source);

// The prompt text up to where the assistant begins, and how its answers are taken apart; null: they are plain text.
struct RenderedChat {
  std::string prompt;
  std::shared_ptr<const ChatSyntax> syntax;
};

class ChatTemplate {
 public:
  // Compiles the template of `model` (ChatML where the file has none). A bad template is kept as a fault that `render`
  // throws: text prompts still work with such a model. `instead` replaces the template of the file.
  explicit ChatTemplate(const llama_model* model, const std::string& instead = {});
  ~ChatTemplate();

  // True when the file carries a template of its own.
  bool isExplicit() const { return isExplicit_; }
  // True when the template knows reasoning beside the answer.
  bool hasReasoning() const { return hasReasoning_; }

  // Any thread. `prompt` is of kind Messages. Throws Failure invalid_request naming the field (out of bounds, refused
  // by the template, or asks for what the template cannot do) or model_unusable (the template itself is bad).
  RenderedChat render(const Prompt& prompt) const;

 private:
  struct Deleter {
    void operator()(common_chat_templates* templates) const;
  };
  struct Abilities {
    bool tools = false;
    bool toolCalls = false;
    bool parallelToolCalls = false;
  };

  void compile(const llama_model* model, const std::string& instead);
  void probe();
  common_chat_params apply(const common_chat_templates_inputs& inputs) const;
  common_chat_templates_inputs inputsOf(const Prompt& prompt) const;
  void checkAbilities(const Prompt& prompt) const;
  RenderedChat renderHere(const Prompt& prompt) const;
  [[noreturn]] void refuse(const Prompt& prompt, const std::string& why) const;

  std::unique_ptr<common_chat_templates, Deleter> templates_;
  std::vector<std::string> sources_;
  bool isExplicit_ = false;
  bool isPlain_ = false;
  bool hasReasoning_ = false;
  bool canSwitchThinking_ = false;
  Abilities abilities_;
  std::string fault_;
};

}  // namespace llamaestro
