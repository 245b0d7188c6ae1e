#include "chat-stream.h"

#include <algorithm>
#include <random>

#include "big-stack.h"
#include "chat-syntax.h"

namespace llamaestro {
namespace {

// A text is parsed again when it has grown by one part in so many: the work over a whole answer is that many times its
// length, however long it gets.
constexpr size_t kGrowthShare = 64;
// Brackets in one another that the stack of any thread bears; the parser recurses once for each.
constexpr uint32_t kShallow = 32;
constexpr size_t kTailBytes = 16;
constexpr size_t kIdCharacters = 24;

bool isSpace(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }

bool startsWith(const std::string& text, const std::string& with) { return text.compare(0, with.size(), with) == 0; }

bool endsWith(std::string_view text, std::string_view with) {
  return text.size() >= with.size() && text.substr(text.size() - with.size()) == with;
}

std::string newCallId() {
  static constexpr char kLetters[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  thread_local std::mt19937_64 random{std::random_device{}()};
  std::uniform_int_distribution<size_t> letter(0, sizeof(kLetters) - 2);
  std::string id = "call_";
  for (size_t i = 0; i < kIdCharacters; ++i) id += kLetters[letter(random)];
  return id;
}

// What `now` has beyond `shown`. Nothing when it has become shorter: the parser takes back spaces before a tag.
// `differs` is set when it is another text altogether.
std::string growth(const std::string& shown, const std::string& now, bool& differs) {
  if (startsWith(now, shown)) return now.substr(shown.size());
  if (!startsWith(shown, now)) differs = true;
  return {};
}

}  // namespace

ChatStream::ChatStream(std::shared_ptr<const ChatSyntax> syntax) : syntax_(std::move(syntax)) {}
ChatStream::~ChatStream() = default;

bool ChatStream::isDue() const { return all_.size() - parsedBytes_ > parsedBytes_ / kGrowthShare; }

void ChatStream::measureNesting(std::string_view text) {
  for (const char c : text) {
    if (c == '{' || c == '[') deepest_ = std::max(deepest_, ++depth_);
    if ((c == '}' || c == ']') && depth_ > 0) --depth_;
  }
}

AnswerParts ChatStream::push(std::string_view text) {
  if (text.empty()) return {};
  all_.append(text);
  if (isBroken_) return {std::string(text), {}, {}};
  measureNesting(text);
  if (open_ != Open::Nothing) {
    // From the end of what was handed out: spaces held back before belong to it.
    const std::string_view fresh = std::string_view(all_).substr(parsedBytes_);
    if (fresh.find_first_of(syntax_->structuralBytes) == std::string_view::npos) return passOn(fresh);
    open_ = Open::Nothing;
  }
  return isDue() ? parse(false) : AnswerParts();
}

// Spaces at the end stay: what comes next decides whether they belong to the part.
AnswerParts ChatStream::passOn(std::string_view text) {
  while (!text.empty() && isSpace(text.back())) text.remove_suffix(1);
  parsedBytes_ += text.size();
  AnswerParts parts;
  (open_ == Open::Text ? parts.text : parts.reasoning) = text;
  (open_ == Open::Text ? shownText_ : shownReasoning_).append(text);
  return parts;
}

AnswerParts ChatStream::finish() { return isBroken_ ? AnswerParts() : parse(true); }

common_chat_msg ChatStream::parsed() {
  ++parses_;
  common_chat_msg message;
  const auto parse = [&] { message = common_chat_parse(all_, true, syntax_->parser); };
  const bool isDeep = deepest_ > kShallow || syntax_->parser.format == COMMON_CHAT_FORMAT_PEG_MINIMAX_M3;
  if (isDeep) {
    runOnBigStack(parse);
  } else {
    parse();
  }
  return message;
}

AnswerParts ChatStream::parse(bool isLast) {
  parsedBytes_ = all_.size();
  AnswerParts parts;
  common_chat_msg message;
  try {
    message = parsed();
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception&) {
    giveUp(parts);
    return parts;
  }
  bool differs = message.tool_calls.size() < calls_.size();
  parts.reasoning = growth(shownReasoning_, message.reasoning_content, differs);
  parts.text = growth(shownText_, message.content, differs);
  if (differs || !addCalls(message, isLast, parts)) {
    parts = AnswerParts();
    giveUp(parts);
    return parts;
  }
  shownReasoning_ += parts.reasoning;
  shownText_ += parts.text;
  if (message.tool_calls.empty()) reopen(message);
  return parts;
}

// When text or reasoning goes up to the end, but for spaces perhaps, what follows may be passed on.
void ChatStream::reopen(const common_chat_msg& message) {
  const std::string& last = message.content.empty() ? message.reasoning_content : message.content;
  std::string_view seen = all_;
  for (;;) {
    const size_t tail = std::min(kTailBytes, seen.size());
    if (tail > 0 && endsWith(last, seen.substr(seen.size() - tail))) break;
    if (seen.empty() || !isSpace(seen.back())) return;
    seen.remove_suffix(1);
  }
  parsedBytes_ = seen.size();
  open_ = message.content.empty() ? Open::Reasoning : Open::Text;
}

// The model does not keep to its own format. Nothing is taken back; what was not shown is shown as it is, once, unless
// it is a part of something that was taken for a tool call.
void ChatStream::giveUp(AnswerParts& parts) {
  isBroken_ = true;
  open_ = Open::Nothing;
  if (!calls_.empty()) return;
  const std::string& shown = shownText_.empty() ? shownReasoning_ : shownText_;
  const size_t at = shown.empty() ? 0 : all_.rfind(shown);
  parts.text = at == std::string::npos ? std::string() : all_.substr(at + shown.size());
}

// A name may still grow until arguments follow it.
bool ChatStream::addCalls(const common_chat_msg& message, bool isLast, AnswerParts& parts) {
  bool differs = false;
  for (size_t i = 0; i < message.tool_calls.size(); ++i) {
    const common_chat_tool_call& call = message.tool_calls[i];
    if (calls_.size() <= i) calls_.emplace_back();
    Call& shown = calls_[i];
    const bool isSure = isLast || i + 1 < message.tool_calls.size() || !call.arguments.empty();
    if (call.name.empty() || !isSure) continue;
    ToolCallDelta delta;
    delta.index = static_cast<uint32_t>(i);
    if (!shown.isNamed) {
      shown.isNamed = true;
      delta.id = call.id.empty() ? newCallId() : call.id;
      delta.name = call.name;
    }
    delta.arguments = growth(shown.arguments, call.arguments, differs);
    shown.arguments += delta.arguments;
    if (!delta.name.empty() || !delta.arguments.empty()) parts.toolCalls.push_back(std::move(delta));
  }
  return !differs;
}

}  // namespace llamaestro
