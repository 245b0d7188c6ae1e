#include "file-identity.h"

#include <sys/stat.h>

#include <cstdint>

namespace llamaestro {

std::string identityOf(const struct stat& status) {
#ifdef __APPLE__
  const timespec& written = status.st_mtimespec;
  const timespec& changed = status.st_ctimespec;
#else
  const timespec& written = status.st_mtim;
  const timespec& changed = status.st_ctim;
#endif
  std::string identity;
  for (const auto number : {static_cast<uint64_t>(status.st_dev), static_cast<uint64_t>(status.st_ino),
                            static_cast<uint64_t>(status.st_size), static_cast<uint64_t>(written.tv_sec),
                            static_cast<uint64_t>(written.tv_nsec), static_cast<uint64_t>(changed.tv_sec),
                            static_cast<uint64_t>(changed.tv_nsec)}) {
    identity += std::to_string(number) + ".";
  }
  return identity + "|";
}

std::string identityOf(const std::vector<std::string>& files) {
  std::string identity;
  for (const std::string& file : files) {
    struct stat status {};
    if (stat(file.c_str(), &status) != 0) return {};
    identity += identityOf(status);
  }
  return identity;
}

}  // namespace llamaestro
