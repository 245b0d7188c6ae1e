#include <fcntl.h>
#include <unistd.h>

#include <fstream>
#include <future>
#include <stdexcept>

#include "driver.h"
#include "engine.h"
#include "harness.h"
#include "page-warmer.h"

using namespace llamaestro;

namespace {

constexpr uint64_t kBytes = (uint64_t{40} << 20) + 12345;
constexpr uint64_t kPlenty = uint64_t{1} << 40;

std::string writeFile(const std::string& name) {
  const std::string path = tests::scratchFolder() + "/" + name;
  std::ofstream file(path, std::ios::binary);
  const std::string block(1 << 20, 'x');
  for (uint64_t at = 0; at < kBytes; at += block.size()) {
    file.write(block.data(), static_cast<std::streamsize>(std::min<uint64_t>(block.size(), kBytes - at)));
  }
  return path;
}

// Takes a file out of the page cache; false where the system does not do it.
bool makeCold(const std::string& path) {
#ifdef POSIX_FADV_DONTNEED
  const int fd = open(path.c_str(), O_RDONLY);
  fsync(fd);
  posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  close(fd);
  return PageWarmer({path}, kPlenty).coldBytes() > 0;
#else
  (void)path;
  return false;
#endif
}

}  // namespace

TEST("warmer: a cold file is read in parts, once, and is warm afterwards") {
  const std::string path = writeFile("cold.bin");
  if (!makeCold(path)) return;
  const PageWarmer warmer({path}, kPlenty);
  CHECK_EQUAL(warmer.totalBytes(), kBytes);
  std::vector<double> told;
  CHECK(warmer.warm([&](double fraction) {
    told.push_back(fraction);
    return true;
  }));
  CHECK(told.size() >= 5);
  for (size_t index = 1; index < told.size(); ++index) CHECK(told[index] > told[index - 1]);
  CHECK_EQUAL(told.back(), 1.0);
  CHECK_EQUAL(PageWarmer({path}, kPlenty).coldBytes(), uint64_t{0});
  CHECK(PageWarmer({path}, kPlenty).warm([](double) -> bool { throw std::runtime_error("nothing is to be read"); }));
}

TEST("warmer: it stops after one part, and reads no more than it may") {
  const std::string path = writeFile("stopped.bin");
  if (!makeCold(path)) return;
  int parts = 0;
  CHECK(!PageWarmer({path}, kPlenty).warm([&](double) {
    ++parts;
    return false;
  }));
  CHECK_EQUAL(parts, 1);
  CHECK(makeCold(path));
  CHECK(PageWarmer({path}, uint64_t{16} << 20).coldBytes() <= uint64_t{16} << 20);
  CHECK_EQUAL(PageWarmer({path}, 0).coldBytes(), uint64_t{0});
}

TEST("warmer: a file that is not there is left to others") {
  const PageWarmer warmer({tests::scratchFolder() + "/none"}, kPlenty);
  CHECK_EQUAL(warmer.coldBytes(), uint64_t{0});
  CHECK(warmer.warm([](double) { return false; }));
}

TEST("warmer: the load of a cold file is cancelled before llama.cpp reads it, mapped or not") {
  for (const bool mmap : {false, true}) {
    LoadOptions options = tests::loadOptions("prefill");
    options.mmap = mmap;
    if (!makeCold(options.file)) return;
    LoadHooks hooks;
    hooks.cancel = std::make_shared<std::atomic<bool>>(false);
    hooks.onProgress = [&](double fraction) {
      if (fraction > 0) hooks.cancel->store(true);
    };
    const Result<std::shared_ptr<Engine>> loaded = Engine::load(options, hooks);
    CHECK(!loaded.ok());
    CHECK_EQUAL(loaded.error().code, "cancelled");
    CHECK(PageWarmer({options.file}, kPlenty).coldBytes() > 0);
  }
}

TEST("warmer: a load or plan that waits for another one can be cancelled") {
  std::promise<void> reached;
  std::promise<void> goOn;
  LoadHooks first;
  bool isFirst = true;
  first.onProgress = [&](double) {
    if (!isFirst) return;
    isFirst = false;
    reached.set_value();
    goOn.get_future().wait();
  };
  auto loading = std::async(std::launch::async, [&] { return Engine::load(tests::loadOptions("tiny"), first).ok(); });
  reached.get_future().wait();
  const auto isSet = std::make_shared<std::atomic<bool>>(true);
  LoadHooks second;
  second.cancel = isSet;
  CHECK_EQUAL(Engine::load(tests::loadOptions("tiny"), second).error().code, "cancelled");
  CHECK_EQUAL(planMemory(tests::loadOptions("tiny"), isSet).error().code, "cancelled");
  goOn.set_value();
  CHECK(loading.get());
}
