#include "chat-check.h"

#include <algorithm>
#include <cctype>

#include "error.h"
#include "json-depth.h"
#include "json.h"

namespace llamaestro {
namespace {

constexpr size_t kMaxMessages = 65536;
constexpr size_t kMaxRoleBytes = 64;

[[noreturn]] void refuse(const char* param, const std::string& why) {
  throw Failure(codes::kInvalidRequest, why, param);
}

bool isWord(const std::string& text, size_t maxBytes, const char* others) {
  const auto isGood = [&](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || std::string(others).find(c) != std::string::npos;
  };
  return !text.empty() && text.size() <= maxBytes && std::all_of(text.begin(), text.end(), isGood);
}

// The value of a JSON text of bounded size and depth.
common_json checkJson(const std::string& text, const char* param, const std::string& what) {
  if (jsonDepth(text) > kMaxToolDepth) {
    refuse(param, what + " nests more than " + std::to_string(kMaxToolDepth) + " levels");
  }
  common_json value = common_json::parse_no_throw(text);
  if (value.is_discarded()) refuse(param, what + " is not JSON");
  return value;
}

void checkToolCalls(const ChatMessage& message) {
  if (message.toolCalls.empty()) return;
  if (message.role != "assistant") refuse("messages", "only an assistant message has tool calls");
  if (message.toolCalls.size() > kMaxToolCalls) {
    refuse("messages", "a message has at most " + std::to_string(kMaxToolCalls) + " tool calls");
  }
  for (const ToolCall& call : message.toolCalls) {
    if (call.name.empty()) refuse("messages", "a tool call needs a name");
    if (call.arguments.size() > kMaxToolsBytes) refuse("messages", "the arguments of a tool call are too long");
    if (!checkJson(call.arguments, "messages", "the arguments of a tool call").is_object()) {
      refuse("messages", "the arguments of a tool call must be the JSON text of an object");
    }
  }
}

void checkMessages(const std::vector<ChatMessage>& messages) {
  if (messages.empty()) refuse("messages", "messages must not be empty");
  if (messages.size() > kMaxMessages) refuse("messages", "too many messages");
  for (const ChatMessage& message : messages) {
    if (message.role.empty() || message.role.size() > kMaxRoleBytes) {
      refuse("messages", "every message needs a role of 1 to " + std::to_string(kMaxRoleBytes) + " bytes");
    }
    if (!message.reasoning.empty() && message.role != "assistant") {
      refuse("messages", "only an assistant message has reasoning");
    }
    if (!message.toolCallId.empty() && message.role != "tool") {
      refuse("messages", "only a tool message has a toolCallId");
    }
    checkToolCalls(message);
  }
}

void checkTools(const ChatOptions& chat) {
  if (chat.tools.size() > kMaxTools) refuse("tools", "tools takes at most " + std::to_string(kMaxTools));
  size_t bytes = 0;
  std::vector<std::string> names;
  for (const Tool& tool : chat.tools) {
    if (!isWord(tool.name, kMaxToolNameBytes, "_-.")) {
      refuse("tools", "a tool's name has 1 to " + std::to_string(kMaxToolNameBytes) + " letters, digits, _ - .");
    }
    names.push_back(tool.name);
    const size_t own = tool.description.size() + tool.parameters.size();
    bytes += own;
    if (own > kMaxToolBytes || bytes > kMaxToolsBytes) {
      refuse("tools", "the tool " + tool.name + " is too long: one takes " + std::to_string(kMaxToolBytes) +
                          " bytes, all take " + std::to_string(kMaxToolsBytes));
    }
    const std::string what = "the parameters of the tool " + tool.name;
    if (!tool.parameters.empty() && !checkJson(tool.parameters, "tools", what).is_object()) {
      refuse("tools", what + " must be a JSON schema of an object");
    }
  }
  std::sort(names.begin(), names.end());
  if (std::adjacent_find(names.begin(), names.end()) != names.end()) refuse("tools", "two tools have one name");
}

void checkToolChoice(const ChatOptions& chat) {
  const bool isKnown = chat.toolChoice.empty() || chat.toolChoice == "auto" || chat.toolChoice == "none" ||
                       chat.toolChoice == "required";
  if (!isKnown) refuse("toolChoice", "toolChoice is auto, none, required or the name of a tool");
  if (chat.tools.empty() && (chat.toolChoice == "required" || !chat.toolName.empty())) {
    refuse("toolChoice", "toolChoice asks for a tool and there are no tools");
  }
  const auto isNamed = [&](const Tool& tool) { return tool.name == chat.toolName; };
  if (!chat.toolName.empty() && std::none_of(chat.tools.begin(), chat.tools.end(), isNamed)) {
    refuse("toolChoice", "toolChoice names a tool that is not among the tools");
  }
}

void checkTemplateArguments(const ChatOptions& chat) {
  if (chat.templateArguments.size() > kMaxTemplateArguments) {
    refuse("templateArguments",
           "templateArguments takes at most " + std::to_string(kMaxTemplateArguments) + " arguments");
  }
  size_t bytes = 0;
  for (const auto& [name, value] : chat.templateArguments) {
    if (!isWord(name, kMaxToolNameBytes, "_") || std::isdigit(static_cast<unsigned char>(name[0])) != 0) {
      refuse("templateArguments", "a template argument has a name of 1 to " + std::to_string(kMaxToolNameBytes) +
                                      " letters, digits and underscores");
    }
    for (const char* own :
         {"messages", "tools", "add_generation_prompt", "bos_token", "eos_token", "enable_thinking"}) {
      if (name == own) {
        refuse("templateArguments", name + " is no template argument: the engine sets it" +
                                        (name == "enable_thinking" ? " from thinking" : ""));
      }
    }
    bytes += name.size() + value.size();
    if (bytes > kMaxTemplateArgumentBytes) {
      refuse("templateArguments",
             "templateArguments takes at most " + std::to_string(kMaxTemplateArgumentBytes) + " bytes");
    }
    checkJson(value, "templateArguments", "the template argument " + name);
  }
}

}  // namespace

void checkChat(const Prompt& prompt) {
  checkMessages(prompt.messages);
  checkTools(prompt.chat);
  checkToolChoice(prompt.chat);
  checkTemplateArguments(prompt.chat);
}

}  // namespace llamaestro
