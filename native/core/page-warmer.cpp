#include "page-warmer.h"

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace llamaestro {
namespace {

constexpr uint64_t kPartBytes = uint64_t{8} << 20;
constexpr uint64_t kLookEvery = uint64_t{64} << 10;

class OpenFile {
 public:
  explicit OpenFile(const std::string& path) : fd_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}
  ~OpenFile() {
    if (fd_ >= 0) close(fd_);
  }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  bool isOpen() const { return fd_ >= 0; }
  int fd() const { return fd_; }
  uint64_t size() const { return static_cast<uint64_t>(std::max<off_t>(0, lseek(fd_, 0, SEEK_END))); }

 private:
  int fd_;
};

// True when a byte at `at` can be had without waiting for the disk.
bool isInMemory(int fd, uint64_t at) {
#ifdef RWF_NOWAIT
  char byte = 0;
  iovec place{&byte, 1};
  return preadv2(fd, &place, 1, static_cast<off_t>(at), RWF_NOWAIT) == 1;
#else
  (void)fd;
  (void)at;
  return false;
#endif
}

bool isWarm(int fd, uint64_t begin, uint64_t bytes) {
  for (uint64_t at = begin; at < begin + bytes; at += kLookEvery) {
    if (!isInMemory(fd, at)) return false;
  }
  return isInMemory(fd, begin + bytes - 1);
}

// Lets the disk begin with the next part while this one is taken.
void announce(int fd, uint64_t begin, uint64_t bytes) {
#ifdef POSIX_FADV_WILLNEED
  posix_fadvise(fd, static_cast<off_t>(begin), static_cast<off_t>(bytes), POSIX_FADV_WILLNEED);
#else
  (void)fd;
  (void)begin;
  (void)bytes;
#endif
}

// False when the file ends early or cannot be read.
bool readPart(int fd, uint64_t begin, uint64_t bytes, std::vector<char>& buffer) {
  uint64_t done = 0;
  while (done < bytes) {
    const ssize_t got = pread(fd, buffer.data(), bytes - done, static_cast<off_t>(begin + done));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    done += static_cast<uint64_t>(got);
  }
  return true;
}

}  // namespace

PageWarmer::PageWarmer(const std::vector<std::string>& files, uint64_t maxBytes) {
  for (const std::string& path : files) {
    const OpenFile file(path);
    if (!file.isOpen()) continue;
    const uint64_t size = file.size();
    std::vector<Part> cold;
    for (uint64_t begin = 0; begin < size && totalBytes_ + begin < maxBytes; begin += kPartBytes) {
      const uint64_t bytes = std::min(kPartBytes, size - begin);
      if (isWarm(file.fd(), begin, bytes)) continue;
      cold.push_back({begin, bytes});
      coldBytes_ += bytes;
    }
    totalBytes_ += size;
    if (!cold.empty()) files_.emplace_back(path, std::move(cold));
  }
}

bool PageWarmer::warm(const std::function<bool(double)>& onPart) const {
  if (coldBytes_ == 0) return true;
  std::vector<char> buffer(kPartBytes);
  uint64_t done = 0;
  for (const auto& [path, parts] : files_) {
    const OpenFile file(path);
    for (size_t index = 0; index < parts.size(); ++index) {
      const Part& part = parts[index];
      if (index + 1 < parts.size()) announce(file.fd(), parts[index + 1].begin, parts[index + 1].bytes);
      if (!file.isOpen() || !readPart(file.fd(), part.begin, part.bytes, buffer)) break;
      done += part.bytes;
      if (!onPart(static_cast<double>(done) / static_cast<double>(coldBytes_))) return false;
    }
  }
  return true;
}

}  // namespace llamaestro
