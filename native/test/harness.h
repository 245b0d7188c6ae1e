// A small test harness: tests register themselves, checks throw, main runs what the arguments name.
#pragma once

#include <functional>
#include <sstream>
#include <stdexcept>
#include <string>

namespace tests {

struct Registration {
  Registration(const char* name, std::function<void()> body);
};

struct CheckFailed : std::runtime_error {
  using std::runtime_error::runtime_error;
};

[[noreturn]] void failAt(const char* file, int line, const std::string& what);

// For destructors: the test that runs has failed, and goes on.
void failLater(const std::string& what);

template <typename A, typename B>
void checkEqual(const A& actual, const B& expected, const char* what, const char* file, int line) {
  if (actual == expected) return;
  std::ostringstream text;
  text << what << " is " << actual << ", expected " << expected;
  failAt(file, line, text.str());
}

// Path of a model that scripts/make-models writes ("tiny" -> LLAMAESTRO_TEST_MODELS/tiny.gguf). A missing one fails.
std::string modelPath(const std::string& name);

// A new folder that is removed when the program ends.
std::string scratchFolder();

}  // namespace tests

#define TEST_JOIN2(a, b) a##b
#define TEST_JOIN(a, b) TEST_JOIN2(a, b)
#define TEST(name)                                                                                      \
  static void TEST_JOIN(testBody, __LINE__)();                                                          \
  static const tests::Registration TEST_JOIN(testEntry, __LINE__)(name, TEST_JOIN(testBody, __LINE__)); \
  static void TEST_JOIN(testBody, __LINE__)()
#define CHECK(condition)                                             \
  do {                                                               \
    if (!(condition)) tests::failAt(__FILE__, __LINE__, #condition); \
  } while (false)
#define CHECK_EQUAL(actual, expected) tests::checkEqual((actual), (expected), #actual, __FILE__, __LINE__)
