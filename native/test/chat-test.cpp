#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "chat-stream.h"
#include "chat-syntax.h"
#include "chat-template.h"
#include "constraint.h"
#include "driver.h"
#include "error.h"
#include "harness.h"
#include "lazy-start.h"
#include "llama-handles.h"
#include "log-hub.h"

using namespace llamaestro;
using tests::Driver;
using tests::Heard;
using tests::loadOptions;

namespace {

constexpr const char* kWeather =
    R"({"type":"object","properties":{"city":{"type":"string"},"days":{"type":"integer"}}})";

SequenceRequest chatRequest(const std::vector<ChatMessage>& messages, double maxTokens = 64) {
  SequenceRequest request;
  request.prompt.kind = Prompt::Kind::Messages;
  request.prompt.messages = messages;
  request.maxTokens = maxTokens;
  request.temperature = 0;
  return request;
}

SequenceRequest weatherRequest() {
  SequenceRequest request = chatRequest({{"user", "What is the weather in Paris?"}});
  request.prompt.chat.tools = {{"get_weather", "Tells the weather", kWeather}};
  return request;
}

std::string refusal(Driver& driver, const SequenceRequest& request) {
  const Result<uint32_t> result = driver.engine().submit(request);
  if (!result.ok()) return result.error().code + " " + result.error().param;
  driver.waitFinished(result.value());
  return "ok";
}

std::string readText(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

ModelPtr loadModel(const std::string& name) {
  installLogHub();
  llama_model_params params = llama_model_default_params();
  params.load_mode = LLAMA_LOAD_MODE_NONE;
  ModelPtr model(llama_model_load_from_file(tests::modelPath(name).c_str(), params));
  CHECK(model != nullptr);
  return model;
}

std::shared_ptr<const ChatSyntax> weatherSyntax(const ChatTemplate& chat) {
  return chat.render(weatherRequest().prompt).syntax;
}

}  // namespace

TEST("chat: reasoning comes apart from the answer, and stays in the text unless asked for") {
  Driver driver(loadOptions("thinker"));
  SequenceRequest request = chatRequest({{"user", "How much?"}});
  const std::string whole = driver.waitFinished(driver.submit(request)).text;
  CHECK_EQUAL(whole, "<think>\nI look at the question. It is easy.\n</think>\n\nThe answer is forty-two.");
  request.prompt.chat.separatesReasoning = true;
  const Heard& heard = driver.waitFinished(driver.submit(request));
  CHECK_EQUAL(heard.reasoning, "I look at the question. It is easy.\n");
  CHECK_EQUAL(heard.text, "The answer is forty-two.");
  CHECK(heard.end.reason == FinishReason::Stop);
}

TEST("chat: a spent reasoning budget ends the thought, and the answer follows") {
  Driver driver(loadOptions("thinker"));
  SequenceRequest request = chatRequest({{"user", "How much?"}});
  request.prompt.chat.reasoningBudget = 2;
  const Heard& heard = driver.waitFinished(driver.submit(request));
  CHECK_EQUAL(heard.reasoning, "I look at the question. ");
  CHECK_EQUAL(heard.text, "The answer is forty-two.");
  request.prompt.chat.reasoningBudget = 0;
  CHECK_EQUAL(driver.waitFinished(driver.submit(request)).text, "The answer is forty-two.");
}

TEST("chat: a tool call comes in pieces with its name first, and its own finish reason") {
  Driver driver(loadOptions("caller"));
  for (const char* choice : {"auto", "required", ""}) {
    SequenceRequest request = weatherRequest();
    request.prompt.chat.toolChoice = choice;
    if (*choice == '\0') request.prompt.chat.toolName = "get_weather";
    const Heard& heard = driver.waitFinished(driver.submit(request));
    CHECK_EQUAL(heard.text, "");
    CHECK_EQUAL(heard.toolCalls.size(), 1u);
    CHECK_EQUAL(heard.toolCalls[0].name, "get_weather");
    CHECK_EQUAL(heard.toolCalls[0].arguments, R"({"city": "Paris", "days": 3})");
    CHECK(heard.toolCalls[0].id.size() > 8);
    CHECK(heard.end.reason == FinishReason::ToolCalls);
    CHECK(!heard.end.error);
  }
  SequenceRequest request = weatherRequest();
  request.prompt.chat.toolChoice = "none";
  const Heard& heard = driver.waitFinished(driver.submit(request));
  CHECK_EQUAL(heard.toolCalls.size(), 0u);
  CHECK(heard.end.reason == FinishReason::Stop);
}

TEST("chat: a call that is only thought of is none; text, thought and call come apart") {
  Driver driver(loadOptions("thinking-caller"));
  const Heard& heard = driver.waitFinished(driver.submit(weatherRequest()));
  CHECK_EQUAL(heard.reasoning, "Not <tool_call> yet.\n");
  CHECK_EQUAL(heard.text, "Let me look.\n");
  CHECK_EQUAL(heard.toolCalls.size(), 1u);
  CHECK_EQUAL(heard.toolCalls[0].arguments, R"({"city": "Paris", "days": 3})");
  CHECK(heard.end.reason == FinishReason::ToolCalls);
}

TEST("chat: the grammar of a tool holds from the trigger on") {
  Driver driver(loadOptions("caller"));
  SequenceRequest request = weatherRequest();
  // "days" would be a word: the number that the model wants to write is not one of it.
  request.prompt.chat.tools[0].parameters =
      R"({"type":"object","properties":{"city":{"type":"string"},"days":{"type":"string","enum":["many"]}}})";
  const Heard& heard = driver.waitFinished(driver.submit(request));
  CHECK(!heard.toolCalls.empty());
  for (const ToolCallDelta& call : heard.toolCalls) CHECK(call.arguments.find("\"days\": 3") == std::string::npos);
}

TEST("chat: what the template cannot do and what is out of bounds is refused by the name of the field") {
  Driver plain(loadOptions("scripted"));
  SequenceRequest request = weatherRequest();
  CHECK_EQUAL(refusal(plain, request), "invalid_request tools");
  request = chatRequest({{"user", "Hi"}});
  request.prompt.chat.thinking = true;
  CHECK_EQUAL(refusal(plain, request), "invalid_request thinking");
  request = chatRequest({{"user", "Hi"}});
  request.prompt.chat.reasoningBudget = 5;
  CHECK_EQUAL(refusal(plain, request), "invalid_request reasoningBudget");
  request = chatRequest({{"user", "Hi"}});
  request.prompt.chat.templateArguments = {{"no_such_argument", "1"}};
  CHECK_EQUAL(refusal(plain, request), "invalid_request templateArguments");
  request = chatRequest({{"user", "Hi"}});
  request.prompt.chat.toolChoice = "required";
  CHECK_EQUAL(refusal(plain, request), "invalid_request toolChoice");

  Driver driver(loadOptions("caller"));
  const auto tell = [&](const std::function<void(SequenceRequest&)>& change) {
    SequenceRequest changed = weatherRequest();
    change(changed);
    return refusal(driver, changed);
  };
  const auto parameters = [&](const std::string& text) {
    return tell([&](SequenceRequest& one) { one.prompt.chat.tools[0].parameters = text; });
  };
  CHECK_EQUAL(parameters("{"), "invalid_request tools");
  CHECK_EQUAL(parameters("[1]"), "invalid_request tools");
  CHECK_EQUAL(parameters(std::string(200, '[') + std::string(200, ']')), "invalid_request tools");
  CHECK_EQUAL(parameters(std::string(100000, ' ') + "{}"), "invalid_request tools");
  CHECK_EQUAL(tell([](SequenceRequest& one) { one.prompt.chat.tools.push_back(one.prompt.chat.tools[0]); }),
              "invalid_request tools");
  CHECK_EQUAL(tell([](SequenceRequest& one) { one.prompt.chat.tools[0].name = "two words"; }), "invalid_request tools");
  CHECK_EQUAL(tell([](SequenceRequest& one) { one.prompt.chat.toolName = "other"; }), "invalid_request toolChoice");
  CHECK_EQUAL(tell([](SequenceRequest& one) { one.prompt.chat.toolChoice = "maybe"; }), "invalid_request toolChoice");
  CHECK_EQUAL(tell([](SequenceRequest& one) { one.jsonSchema = R"({"type":"string"})"; }), "invalid_request tools");
  CHECK_EQUAL(tell([](SequenceRequest& one) {
                one.prompt.messages[0].toolCalls = {{"1", "f", "{}"}};
              }),
              "invalid_request messages");
  CHECK_EQUAL(tell([](SequenceRequest& one) { one.prompt.chat.reasoningBudget = -1; }),
              "invalid_request reasoningBudget");
}

TEST("chat: a schema that leads in a circle ends") {
  Driver driver(loadOptions("caller"));
  for (const char* schema : {R"({"type":"object","properties":{"a":{"$ref":"#"}}})",
                             R"({"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/a"}}})",
                             R"({"type":"object","properties":{"a":{"$ref":"https://example.org/x"}}})",
                             R"({"type":"array","minItems":1000000000})",
                             R"({"type":"string","pattern":"^(a+)+$","maxLength":100000000})"}) {
    SequenceRequest request = weatherRequest();
    request.prompt.chat.tools[0].parameters = schema;
    request.maxTokens = 4;
    const auto begin = std::chrono::steady_clock::now();
    refusal(driver, request);
    CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(20));
  }
  CHECK_EQUAL(refusal(driver, weatherRequest()), "ok");
}

TEST("chat: turns of tools and thoughts are rendered, and arguments reach the template") {
  const ModelPtr model = loadModel("caller");
  const ChatTemplate chat(model.get());
  Prompt prompt = weatherRequest().prompt;
  prompt.messages.emplace_back("assistant", "");
  prompt.messages.back().toolCalls = {{"call_1", "get_weather", R"({"city":"Paris"})"}};
  prompt.messages.emplace_back("tool", "It rains.");
  prompt.messages.back().toolCallId = "call_1";
  const std::string text = chat.render(prompt).prompt;
  CHECK(text.find("Tells the weather") != std::string::npos);
  CHECK(text.find("<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\":") != std::string::npos);
  CHECK(text.find("<tool_response>\nIt rains.\n</tool_response>") != std::string::npos);
  prompt = chatRequest({{"user", "Hi"}}).prompt;
  CHECK(chat.render(prompt).prompt.find("<think>") == std::string::npos);
  prompt.chat.thinking = false;
  CHECK(chat.render(prompt).prompt.find("<think>\n\n</think>") != std::string::npos);
}

TEST("chat stream: any cut of a text gives the same parts, and long ones are rarely parsed") {
  const ModelPtr model = loadModel("caller");
  const ChatTemplate chat(model.get());
  const auto syntax = weatherSyntax(chat);
  const std::string text =
      "<think>\nHm [a < b].\n</think>\n\nI \xE2\x98\x83 look.\n<tool_call>\n{\"name\": \"get_weather\", \"arguments\": "
      "{\"city\": \"A \\\"b\\\" {c\"}}\n</tool_call>";
  for (size_t step = 1; step <= 40; ++step) {
    ChatStream stream(syntax);
    AnswerParts all;
    std::string arguments;
    std::string name;
    const auto add = [&](const AnswerParts& parts) {
      all.text += parts.text;
      all.reasoning += parts.reasoning;
      for (const ToolCallDelta& delta : parts.toolCalls) {
        name += delta.name;
        arguments += delta.arguments;
      }
    };
    for (size_t at = 0; at < text.size(); at += step) add(stream.push(text.substr(at, step)));
    add(stream.finish());
    CHECK_EQUAL(all.reasoning, "Hm [a < b].\n");
    CHECK_EQUAL(all.text, "I \xE2\x98\x83 look.\n");
    CHECK_EQUAL(name, "get_weather");
    CHECK_EQUAL(arguments, "{\"city\": \"A \\\"b\\\" {c\"}");
  }
  ChatStream stream(syntax);
  std::string shown = stream.push("<think>").reasoning;
  for (int i = 0; i < 20000; ++i) shown += stream.push("word and ").reasoning;
  CHECK(stream.parses() < 100);
  for (int i = 0; i < 20000; ++i) shown += stream.push("a < b ").reasoning;
  CHECK(stream.parses() < 2000);
  shown += stream.finish().reasoning;
  CHECK(shown.size() > 290000);
}

// ThreadSanitizer ends a process with more than 65,535 frames on a stack; each bracket takes several.
#if defined(__SANITIZE_THREAD__)
constexpr int kHundredsOfBrackets = 20;
#else
constexpr int kHundredsOfBrackets = 200;
#endif

TEST("chat stream: what is not of the format is shown as text, brackets twenty thousand deep do no harm") {
  const ModelPtr model = loadModel("caller");
  const ChatTemplate chat(model.get());
  const auto syntax = weatherSyntax(chat);
  for (const std::string& head :
       {std::string("<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": "), std::string("<tool_call>"),
        std::string("plain "), std::string("</think></tool_call>")}) {
    ChatStream stream(syntax);
    stream.push(head);
    for (int i = 0; i < kHundredsOfBrackets; ++i) stream.push(std::string(100, '['));
    stream.finish();
  }
}

TEST("lazy start: a word is found wherever tokens cut it, and what came before does not count") {
  LazyStart start({{"<call>", false}});
  const std::vector<std::string> pieces = {"a <", "ca", "l", "l> b <cal", "l", ">{", "rest"};
  std::string from;
  for (const std::string& piece : pieces) {
    if (!from.empty()) break;
    for (const TextToken& token : start.push(1, piece)) from += token.bytes;
  }
  CHECK_EQUAL(from, "<call> b <cal");
  LazyStart anchored({{"^\\s+to$", true}});
  CHECK_EQUAL(anchored.push(1, " ").size(), 0u);
  CHECK_EQUAL(anchored.push(2, "to").size(), 2u);
  LazyStart late({{"^\\s+to$", true}});
  for (int i = 0; i < 300; ++i) CHECK_EQUAL(late.push(1, "x").size(), 0u);
  CHECK_EQUAL(late.push(2, " to").size(), 0u);
}

TEST("chat: templates of many makers that take tools give a parser, and a grammar where they mark their calls") {
  const ModelPtr model = loadModel("caller");
  size_t taken = 0;
  size_t bound = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::filesystem::path(LLAMA_CPP_DIR) / "models/templates")) {
    if (entry.path().extension() != ".jinja") continue;
    const ChatTemplate chat(model.get(), readText(entry.path()));
    try {
      const RenderedChat rendered = chat.render(weatherRequest().prompt);
      ++taken;
      bound += rendered.syntax->grammar.empty() ? 0 : 1;
      const Constraint constraint(llama_model_get_vocab(model.get()), *rendered.syntax, std::nullopt);
      ChatStream stream(rendered.syntax);
      stream.push("Some text.");
      stream.finish();
    } catch (const Failure& failure) {
      CHECK_EQUAL(entry.path().filename().string() + " " + failure.error().param,
                  entry.path().filename().string() + " tools");
    }
  }
  CHECK(taken > 50);
  CHECK(bound > 45);
}
