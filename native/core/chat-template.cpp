#include "chat-template.h"

#include <algorithm>

#include "big-stack.h"
#include "chat.h"
#include "error.h"
#include "llama.h"

namespace llamaestro {
namespace {

constexpr size_t kMaxTemplateBytes = 256 << 10;
constexpr int kMaxTemplateDepth = 128;
// Some hundred milliseconds of rendering; a prompt of two thousand messages takes about a tenth of it.
constexpr int64_t kMaxSteps = 1'000'000;
constexpr int32_t kMaxExecutionDepth = 1024;

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

void ChatTemplate::Deleter::operator()(common_chat_templates* templates) const {
  runOnBigStack([templates] { common_chat_templates_free(templates); });
}

ChatTemplate::ChatTemplate(const llama_model* model, const std::string& instead) {
  std::vector<std::string> sources = {instead};
  for (const char* name : {static_cast<const char*>(nullptr), "tool_use"}) {
    const char* source = llama_model_chat_template(model, name);
    if (source != nullptr) sources.push_back(source);
  }
  isExplicit_ = sources.size() > 1;
  for (const std::string& source : sources) {
    fault_ = templateFault(source);
    if (!fault_.empty()) return;
  }
  try {
    runOnBigStack([&] {
      armBudget();
      templates_.reset(common_chat_templates_init(model, instead).release());
    });
  } catch (const std::exception& thrown) {
    fault_ = thrown.what();
    return;
  }
  // The full path through `common` also derives parsers for tool calls, which renders the template dozens of times.
  // Where a plain rendering gives the same prompt for a probe, later requests take that one.
  const std::vector<ChatMessage> probe = {
      {"system", "Be brief."}, {"user", "One?"}, {"assistant", "Two."}, {"user", "Three?"}};
  try {
    runOnBigStack([&] { isPlain_ = renderHere(probe, true) == renderHere(probe, false); });
  } catch (const std::exception&) {
    isPlain_ = false;  // a template may refuse the probe (no system role, say): then every request takes the full path
  }
}

ChatTemplate::~ChatTemplate() = default;

std::string ChatTemplate::renderHere(const std::vector<ChatMessage>& messages, bool plain) const {
  common_chat_templates_inputs inputs;
  for (const ChatMessage& message : messages) {
    common_chat_msg one;
    one.role = message.role;
    one.content = message.content;
    inputs.messages.push_back(std::move(one));
  }
  inputs.use_jinja = true;
  inputs.add_generation_prompt = true;
  inputs.force_pure_content = plain;
  armBudget();
  return common_chat_templates_apply(templates_.get(), inputs).prompt;
}

std::string ChatTemplate::render(const std::vector<ChatMessage>& messages) const {
  if (!fault_.empty()) {
    throw Failure(codes::kModelUnusable, "the chat template of this model cannot be used: " + fault_);
  }
  std::string text;
  try {
    runOnBigStack([&] { text = renderHere(messages, isPlain_); });
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& thrown) {
    throw Failure(codes::kInvalidRequest, std::string("the chat template refuses these messages: ") + thrown.what(),
                  "messages");
  }
  return text;
}

}  // namespace llamaestro
