// Internal: brings model files into the page cache before llama.cpp reads them, in pieces between which a load can be
// stopped: llama.cpp reads a whole tensor, or maps and reads a whole file, in one blocking call. Knows bytes and no
// models.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace llamaestro {

class PageWarmer {
 public:
  // Looks, at no more than a byte in 64 KiB, which parts of the files are not in memory yet; the first `maxBytes` of
  // all files count. What cannot be looked at (not Linux, some file systems) counts as cold, what cannot be opened as
  // warm.
  PageWarmer(const std::vector<std::string>& files, uint64_t maxBytes);

  // Bytes that `warm` will read, and the bytes of all files.
  uint64_t coldBytes() const { return coldBytes_; }
  uint64_t totalBytes() const { return totalBytes_; }

  // Reads what is cold. `onPart` gets the fraction of the cold bytes that were read and stops by returning false, which
  // is seen after one part at the latest. False when it was stopped; files that cannot be read are left to llama.cpp.
  bool warm(const std::function<bool(double)>& onPart) const;

 private:
  struct Part {
    uint64_t begin;
    uint64_t bytes;
  };

  std::vector<std::pair<std::string, std::vector<Part>>> files_;
  uint64_t coldBytes_ = 0;
  uint64_t totalBytes_ = 0;
};

}  // namespace llamaestro
