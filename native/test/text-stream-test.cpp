#include "text-stream.h"
#include "harness.h"

using namespace llamaestro;

namespace {

std::string all(TextStream& stream, const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) text += "[" + stream.push(part).text + "]";
  return text + stream.flush();
}

}  // namespace

TEST("text stream: a character cut in the middle is held back until it is whole") {
  TextStream stream({});
  CHECK_EQUAL(all(stream, {"a\xf0\x9f", "\x8e", "\xb5!"}), "[a][][\xf0\x9f\x8e\xb5!]");
}

TEST("text stream: bytes that are not UTF-8 become replacement characters") {
  TextStream stream({});
  CHECK_EQUAL(all(stream, {"a\xff", "b\xc3", "x"}), "[a\xef\xbf\xbd][b][\xef\xbf\xbdx]");
  CHECK_EQUAL(cleanUtf8("\xed\xa0\x80", nullptr), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
  CHECK_EQUAL(cleanUtf8("\xc0\xaf", nullptr), "\xef\xbf\xbd\xef\xbf\xbd");
  CHECK_EQUAL(cleanUtf8("\xf4\x8f\xbf\xbf", nullptr), "\xf4\x8f\xbf\xbf");
}

TEST("text stream: an unfinished character at the end is not lost without a trace") {
  TextStream stream({});
  CHECK_EQUAL(all(stream, {"ab\xe2\x98"}), "[ab]\xef\xbf\xbd");
}

TEST("text stream: no part of a stop string is ever shown") {
  TextStream stream({"STOP"});
  CHECK_EQUAL(stream.push("one S").text, "one ");
  CHECK_EQUAL(stream.push("TO").text, "");
  const TextStream::Out out = stream.push("P and more");
  CHECK_EQUAL(out.text, "");
  CHECK(out.stop.has_value());
  CHECK_EQUAL(*out.stop, 0u);
}

TEST("text stream: what only looked like a stop string comes out in the end") {
  TextStream stream({"STOP", "END"});
  CHECK_EQUAL(all(stream, {"ST", "AR", "T E", "N", "d", "EN"}), "[][STAR][T ][][ENd][]EN");
}

TEST("text stream: the first match wins, whichever string it is") {
  TextStream stream({"cd", "b"});
  const TextStream::Out out = stream.push("abcd");
  CHECK_EQUAL(out.text, "a");
  CHECK_EQUAL(*out.stop, 1u);
}

TEST("text stream: a stop string may have characters of several bytes") {
  TextStream stream({"\xe2\x98\x83"});
  CHECK_EQUAL(stream.push("x\xe2").text, "x");
  const TextStream::Out out = stream.push("\x98\x83y");
  CHECK_EQUAL(out.text, "");
  CHECK(out.stop.has_value());
}

TEST("text stream: a stop string that repeats its beginning is found") {
  TextStream stream({"aab"});
  CHECK_EQUAL(stream.push("a").text, "");
  CHECK_EQUAL(stream.push("a").text, "");
  CHECK_EQUAL(stream.push("a").text, "a");
  const TextStream::Out out = stream.push("b");
  CHECK(out.stop.has_value());
  CHECK_EQUAL(out.text, "");
}
