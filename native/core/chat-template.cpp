#include "chat-template.h"

#include <algorithm>
#include <cctype>

#include "big-stack.h"
#include "chat-check.h"
#include "chat-syntax.h"
#include "error.h"
#include "llama.h"
#include "numbers.h"
#include "text-stream.h"

namespace llamaestro {
namespace {

constexpr size_t kMaxTemplateBytes = 256 << 10;
constexpr int kMaxTemplateDepth = 128;
// Some hundred milliseconds of rendering; a prompt of two thousand messages takes about a tenth of it.
constexpr int64_t kMaxSteps = 1'000'000;
constexpr int32_t kMaxExecutionDepth = 1024;
constexpr size_t kMaxShownBytes = 400;
constexpr uint32_t kMaxReasoningBudget = 1 << 24;
constexpr const char* kNoParameters = R"({"type":"object","properties":{}})";

void armBudget() {
#ifdef LLAMAESTRO_JINJA_BUDGET
  jinja::step_budget::set(kMaxSteps, kMaxExecutionDepth);
#endif
}

// The word behind "{%" and its optional minus, as in {%- if x %}.
std::string statementWord(const std::string& source, size_t open) {
  size_t at = open + 2;
  while (at < source.size() && (source[at] == '-' || source[at] == '+' || source[at] == ' ' || source[at] == '\n'))
    ++at;
  size_t end = at;
  while (end < source.size() && source[end] >= 'a' && source[end] <= 'z') ++end;
  return source.substr(at, end - at);
}

bool opensBlock(const std::string& word) {
  return word == "if" || word == "for" || word == "macro" || word == "call" || word == "filter" || word == "generation";
}

}  // namespace

std::string templateFault(const std::string& source) {
  if (source.size() > kMaxTemplateBytes) return "it is longer than " + std::to_string(kMaxTemplateBytes) + " bytes";
  int depth = 0;
  for (size_t i = 0; i < source.size(); ++i) {
    const char c = source[i];
    if (c == '{' && i + 1 < source.size() && source[i + 1] == '%') {
      const std::string word = statementWord(source, i);
      if (opensBlock(word)) ++depth;
      if (word.compare(0, 3, "end") == 0) depth = std::max(0, depth - 1);
      ++i;
    } else if (c == '(' || c == '[' || c == '{') {
      ++depth;
    } else if (c == ')' || c == ']' || (c == '}' && source[i > 0 ? i - 1 : 0] != '%')) {
      depth = std::max(0, depth - 1);
    }
    if (depth > kMaxTemplateDepth) return "it nests more than " + std::to_string(kMaxTemplateDepth) + " levels";
  }
  return {};
}

namespace {

// Beginnings of everything that ends a text or a reasoning in `arena`. A word that is looked for inside of calls (a
// name of a tool, "true") is no end of a text: those begin with a mark, or are what a text goes on until.
std::string structuralBytesOf(const common_peg_arena& arena) {
  std::string bytes;
  const auto add = [&](const std::string& text) {
    if (!text.empty() && bytes.find(text[0]) == std::string::npos) bytes += text[0];
  };
  const auto addLiteral = [&](common_peg_parser_id id, bool alsoWords) {
    const auto* literal = std::get_if<common_peg_literal_parser>(&arena.get(id));
    if (literal == nullptr || literal->literal.empty()) return;
    if (alsoWords || std::isalnum(static_cast<unsigned char>(literal->literal[0])) == 0) add(literal->literal);
  };
  for (size_t id = 0; id < arena.size(); ++id) {
    const common_peg_parser_variant& parser = arena.get(id);
    addLiteral(id, false);
    if (const auto* ahead = std::get_if<common_peg_and_parser>(&parser)) addLiteral(ahead->child, true);
    if (const auto* ahead = std::get_if<common_peg_not_parser>(&parser)) addLiteral(ahead->child, true);
    if (const auto* until = std::get_if<common_peg_until_parser>(&parser)) {
      for (const std::string& text : until->delimiters) add(text);
    }
    if (const auto* words = std::get_if<common_peg_ac_parser>(&parser)) {
      for (const std::string& text : words->delimiters) add(text);
    }
  }
  return bytes;
}

std::shared_ptr<const ChatSyntax> syntaxOf(const common_chat_params& params, const ChatOptions& chat) {
  auto syntax = std::make_shared<ChatSyntax>();
  syntax->parser = common_chat_parser_params(params);
  syntax->parser.reasoning_format = COMMON_REASONING_FORMAT_DEEPSEEK;
  if (!params.parser.empty()) syntax->parser.parser.load(params.parser);
  syntax->structuralBytes = structuralBytesOf(syntax->parser.parser);
  syntax->grammar = params.grammar;
  syntax->isLazy = params.grammar_lazy;
  for (const common_grammar_trigger& trigger : params.grammar_triggers) {
    syntax->triggers.push_back({trigger.value, trigger.type != COMMON_GRAMMAR_TRIGGER_TYPE_WORD});
  }
  syntax->generationPrompt = params.generation_prompt;
  syntax->thinkingStart = params.thinking_start_tag;
  syntax->thinkingEnds = params.thinking_end_tags;
  syntax->preservedTokens = params.preserved_tokens;
  syntax->stops = params.additional_stops;
  syntax->reasoningBudget = wholeNumber(chat.reasoningBudget, "reasoningBudget", 0, kMaxReasoningBudget);
  return syntax;
}

common_chat_msg messageOf(const ChatMessage& message) {
  common_chat_msg one;
  one.role = message.role;
  one.content = message.content;
  one.reasoning_content = message.reasoning;
  one.tool_name = message.name;
  one.tool_call_id = message.toolCallId;
  for (const ToolCall& call : message.toolCalls) one.tool_calls.push_back({call.name, call.arguments, call.id});
  return one;
}

Prompt probePrompt(const std::vector<std::pair<std::string, std::string>>& turns) {
  Prompt prompt;
  prompt.kind = Prompt::Kind::Messages;
  for (const auto& [role, content] : turns) {
    prompt.messages.emplace_back();
    prompt.messages.back().role = role;
    prompt.messages.back().content = content;
  }
  return prompt;
}

}  // namespace

void ChatTemplate::Deleter::operator()(common_chat_templates* templates) const {
  runOnBigStack([templates] { common_chat_templates_free(templates); });
}

ChatTemplate::ChatTemplate(const llama_model* model, const std::string& instead) {
  sources_ = {instead};
  for (const char* name : {static_cast<const char*>(nullptr), "tool_use"}) {
    const char* source = llama_model_chat_template(model, name);
    if (source != nullptr) sources_.push_back(source);
  }
  isExplicit_ = sources_.size() > 1;
  for (const std::string& source : sources_) {
    fault_ = templateFault(source);
    if (!fault_.empty()) return;
  }
  try {
    runOnBigStack([&] { compile(model, instead); });
  } catch (const std::exception& thrown) {
    fault_ = thrown.what();
    return;
  }
  runOnBigStack([&] { probe(); });
}

ChatTemplate::~ChatTemplate() = default;

void ChatTemplate::compile(const llama_model* model, const std::string& instead) {
  armBudget();
  templates_.reset(common_chat_templates_init(model, instead).release());
  std::map<std::string, bool> abilities = common_chat_templates_get_caps(templates_.get());
  abilities_.tools = abilities["supports_tools"];
  abilities_.toolCalls = abilities["supports_tool_calls"];
  abilities_.parallelToolCalls = abilities["supports_parallel_tool_calls"];
}

// The full path through `common` also derives a parser for answers, which renders the template dozens of times. Where a
// plain rendering gives the same prompt for a probe, requests that ask for no parts take that one.
void ChatTemplate::probe() {
  common_chat_templates_inputs talk =
      inputsOf(probePrompt({{"system", "Be brief."}, {"user", "One?"}, {"assistant", "Two."}, {"user", "Three?"}}));
  common_chat_templates_inputs question = inputsOf(probePrompt({{"user", "One?"}}));
  try {
    talk.force_pure_content = true;
    const std::string plain = apply(talk).prompt;
    talk.force_pure_content = false;
    isPlain_ = apply(talk).prompt == plain;
  } catch (const std::exception&) {
    isPlain_ = false;  // a template may refuse the probe (no system role, say): then every request takes the full path
  }
  try {
    question.force_pure_content = true;
    apply(question);
    question.force_pure_content = false;
    question.reasoning_format = COMMON_REASONING_FORMAT_DEEPSEEK;
    const common_chat_params with = apply(question);
    hasReasoning_ = with.supports_thinking && !with.thinking_end_tags.empty();
    question.enable_thinking = false;
    canSwitchThinking_ = hasReasoning_ && apply(question).prompt != with.prompt;
  } catch (const std::exception&) {
    hasReasoning_ = false;
  }
}

common_chat_params ChatTemplate::apply(const common_chat_templates_inputs& inputs) const {
  armBudget();
  return common_chat_templates_apply(templates_.get(), inputs);
}

common_chat_templates_inputs ChatTemplate::inputsOf(const Prompt& prompt) const {
  const ChatOptions& chat = prompt.chat;
  common_chat_templates_inputs inputs;
  for (const ChatMessage& message : prompt.messages) inputs.messages.push_back(messageOf(message));
  for (const Tool& tool : chat.tools) {
    // A tool that must be called is the only one that the model is shown.
    if (!chat.toolName.empty() && tool.name != chat.toolName) continue;
    inputs.tools.push_back({tool.name, tool.description, tool.parameters.empty() ? kNoParameters : tool.parameters});
  }
  if (chat.toolChoice == "none") inputs.tool_choice = COMMON_CHAT_TOOL_CHOICE_NONE;
  if (chat.toolChoice == "required" || !chat.toolName.empty()) inputs.tool_choice = COMMON_CHAT_TOOL_CHOICE_REQUIRED;
  inputs.parallel_tool_calls = chat.parallelToolCalls.value_or(abilities_.parallelToolCalls);
  for (const auto& [name, value] : chat.templateArguments) inputs.chat_template_kwargs[name] = value;
  inputs.enable_thinking = chat.thinking.value_or(true);
  inputs.use_jinja = true;
  inputs.add_generation_prompt = true;
  return inputs;
}

// What a template would pass over in silence is refused by name.
void ChatTemplate::checkAbilities(const Prompt& prompt) const {
  const ChatOptions& chat = prompt.chat;
  const auto refuseField = [](const char* field, const std::string& why) {
    throw Failure(codes::kInvalidRequest, "the chat template of this model " + why, field);
  };
  if (!chat.tools.empty() && !abilities_.tools) refuseField("tools", "has no place for tools");
  const auto hasCalls = [](const ChatMessage& one) { return one.role == "tool" || !one.toolCalls.empty(); };
  if (!abilities_.toolCalls && std::any_of(prompt.messages.begin(), prompt.messages.end(), hasCalls)) {
    refuseField("messages", "has no place for tool calls and their results");
  }
  if (chat.parallelToolCalls.value_or(false) && !abilities_.parallelToolCalls) {
    refuseField("parallelToolCalls", "knows one tool call at a time");
  }
  if (chat.thinking.value_or(false) && !hasReasoning_) refuseField("thinking", "knows no reasoning");
  if (chat.reasoningBudget && !hasReasoning_) refuseField("reasoningBudget", "knows no reasoning");
  if (chat.thinking.has_value() && !*chat.thinking && hasReasoning_ && !canSwitchThinking_) {
    refuseField("thinking", "cannot switch its reasoning off");
  }
  for (const auto& argument : chat.templateArguments) {
    const std::string& name = argument.first;
    const auto names = [&](const std::string& source) { return source.find(name) != std::string::npos; };
    if (std::none_of(sources_.begin(), sources_.end(), names)) {
      refuseField("templateArguments", "does not know the argument " + name);
    }
  }
}

RenderedChat ChatTemplate::renderHere(const Prompt& prompt) const {
  common_chat_templates_inputs inputs = inputsOf(prompt);
  if (!prompt.chat.asksForParts()) {
    inputs.force_pure_content = isPlain_;
    return {apply(inputs).prompt, nullptr};
  }
  inputs.reasoning_format = COMMON_REASONING_FORMAT_DEEPSEEK;
  const common_chat_params params = apply(inputs);
  return {params.prompt, syntaxOf(params, prompt.chat)};
}

RenderedChat ChatTemplate::render(const Prompt& prompt) const {
  checkChat(prompt);
  if (!fault_.empty()) {
    throw Failure(codes::kModelUnusable, "the chat template of this model cannot be used: " + fault_);
  }
  checkAbilities(prompt);
  RenderedChat rendered;
  try {
    runOnBigStack([&] { rendered = renderHere(prompt); });
  } catch (const Failure&) {
    throw;
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& thrown) {
    refuse(prompt, thrown.what());
  }
  return rendered;
}

// The tools are at fault when the messages alone are fine.
void ChatTemplate::refuse(const Prompt& prompt, const std::string& why) const {
  const std::string reason = cleanUtf8(why.substr(0, kMaxShownBytes), nullptr);
  if (!prompt.chat.tools.empty()) {
    Prompt without = prompt;
    without.chat = ChatOptions();
    try {
      runOnBigStack([&] { renderHere(without); });
      throw Failure(codes::kInvalidRequest, "the chat template cannot take these tools: " + reason, "tools");
    } catch (const Failure&) {
      throw;
    } catch (const std::exception&) {
      // Without tools it is no better.
    }
  }
  throw Failure(codes::kInvalidRequest, "the chat template refuses these messages: " + reason, "messages");
}

}  // namespace llamaestro
