// Runs the core's tests: core-tests [PART OF A NAME]... Exit status 1 when one fails. Models come from the folder named
// by LLAMAESTRO_TEST_MODELS (scripts/make-models --set test).
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <vector>

#include "harness.h"

namespace tests {
namespace {

struct Test {
  std::string name;
  std::function<void()> body;
};

std::vector<Test>& all() {
  static std::vector<Test> list;
  return list;
}

std::vector<std::string>& folders() {
  static std::vector<std::string> list;
  return list;
}

std::string& later() {
  static std::string what;
  return what;
}

bool isWanted(const std::string& name, int count, char** parts) {
  if (count <= 1) return true;
  for (int i = 1; i < count; ++i) {
    if (name.find(parts[i]) != std::string::npos) return true;
  }
  return false;
}

}  // namespace

Registration::Registration(const char* name, std::function<void()> body) { all().push_back({name, std::move(body)}); }

void failAt(const char* file, int line, const std::string& what) {
  const char* slash = strrchr(file, '/');
  throw CheckFailed(std::string(slash != nullptr ? slash + 1 : file) + ":" + std::to_string(line) + ": " + what);
}

void failLater(const std::string& what) { later() = what; }

std::string modelPath(const std::string& name) {
  const char* folder = getenv("LLAMAESTRO_TEST_MODELS");
  if (folder == nullptr) throw CheckFailed("LLAMAESTRO_TEST_MODELS names no folder with test models");
  const std::string path = std::string(folder) + "/" + name + ".gguf";
  if (!std::filesystem::exists(path)) throw CheckFailed("the test model " + path + " is missing");
  return path;
}

std::string scratchFolder() {
  std::string pattern = std::filesystem::temp_directory_path().string() + "/core-tests-XXXXXX";
  if (mkdtemp(pattern.data()) == nullptr) throw CheckFailed("no scratch folder could be made");
  folders().push_back(pattern);
  return pattern;
}

}  // namespace tests

int main(int count, char** parts) {
  int failed = 0;
  int run = 0;
  for (const tests::Test& test : tests::all()) {
    if (!tests::isWanted(test.name, count, parts)) continue;
    tests::later().clear();
    ++run;
    const auto begin = std::chrono::steady_clock::now();
    std::string fault;
    try {
      test.body();
      fault = tests::later();
    } catch (const std::exception& thrown) {
      fault = thrown.what();
    }
    const double ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
    printf("%s %s (%.0f ms)%s%s\n", fault.empty() ? "ok  " : "FAIL", test.name.c_str(), ms, fault.empty() ? "" : ": ",
           fault.c_str());
    fflush(stdout);
    if (!fault.empty()) ++failed;
  }
  for (const std::string& folder : tests::folders()) std::filesystem::remove_all(folder);
  printf("%d passed, %d failed\n", run - failed, failed);
  return failed == 0 && run > 0 ? 0 : 1;
}
