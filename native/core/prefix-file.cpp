#include "prefix-file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "error.h"

namespace llamaestro {
namespace {

constexpr char kMagic[8] = {'L', 'L', 'P', 'R', 'E', 'F', 'I', 'X'};
constexpr uint32_t kVersion = 2;
constexpr size_t kSamples = 16;
constexpr size_t kSampleBytes = 64 << 10;

[[noreturn]] void refuse(const std::string& path, const char* reason, const std::string& what) {
  throw Failure(codes::kInvalidRequest, path + " " + what, "file", {{"reason", std::string(reason)}});
}

[[noreturn]] void refuseDamaged(const std::string& path) { refuse(path, "damaged", "is damaged"); }

void stopIf(const std::function<bool()>& cancelled) {
  if (cancelled && cancelled()) throw Failure(codes::kCancelled, "the prefix file was cancelled");
}

struct Bytes {
  std::vector<uint8_t> all;
  template <typename T>
  void put(T value) {
    const auto* raw = reinterpret_cast<const uint8_t*>(&value);
    all.insert(all.end(), raw, raw + sizeof(value));
  }
  template <typename T>
  T get(size_t& at) const {
    T value;
    memcpy(&value, all.data() + at, sizeof(value));
    at += sizeof(value);
    return value;
  }
};

// A regular file, closed when the scope ends; anything else is refused unread, since a pipe would block.
class File {
 public:
  File(const std::string& path, int flags) : fd_(open(path.c_str(), flags | O_CLOEXEC | O_NONBLOCK, 0600)) {
    struct stat status {};
    if (fd_ >= 0 && fstat(fd_, &status) == 0 && S_ISREG(status.st_mode)) {
      bytes_ = static_cast<uint64_t>(status.st_size);
    } else if (fd_ >= 0) {
      close(fd_);
      fd_ = -1;
    }
  }
  ~File() {
    if (fd_ >= 0) close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  bool isOpen() const { return fd_ >= 0; }
  uint64_t bytes() const { return bytes_; }
  bool read(void* to, size_t count) {
    auto* at = static_cast<uint8_t*>(to);
    while (count > 0) {
      const ssize_t got = ::read(fd_, at, count);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return false;
      at += got;
      count -= static_cast<size_t>(got);
    }
    return true;
  }
  bool readAt(uint64_t offset, void* to, size_t count) {
    return lseek(fd_, static_cast<off_t>(offset), SEEK_SET) >= 0 && read(to, count);
  }
  bool write(const void* from, size_t count) {
    const auto* at = static_cast<const uint8_t*>(from);
    while (count > 0) {
      const ssize_t put = ::write(fd_, at, count);
      if (put < 0 && errno == EINTR) continue;
      if (put <= 0) return false;
      at += put;
      count -= static_cast<size_t>(put);
    }
    return true;
  }
  bool sync() { return fsync(fd_) == 0; }

 private:
  int fd_ = -1;
  uint64_t bytes_ = 0;
};

Bytes headerOf(const PrefixFileKey& key, uint32_t entries) {
  Bytes header;
  for (char letter : kMagic) header.put(letter);
  header.put(kVersion);
  header.put(entries);
  header.put(key.modelBytes);
  header.put(key.modelHash);
  header.put(key.vocabSize);
  header.put(key.format.blockTokens);
  header.put(key.format.layout);
  header.put(key.format.blockBytes);
  header.put(uint32_t{key.format.hasGenerated});
  return header;
}

// Everything of an entry but its data; ends with a checksum of itself.
Bytes recordOf(const PrefixTree::Entry& entry) {
  Bytes record;
  record.put(entry.parent);
  record.put(entry.space);
  for (int32_t token : entry.run) record.put(token);
  record.put(entry.block->firstPosition);
  record.put(entry.block->checksum);
  record.put(blockChecksum(record.all));
  return record;
}

size_t recordBytes(const PrefixFormat& format) { return 4 + 8 + 4 * size_t{format.blockTokens} + 4 + 8 + 8; }

PrefixTree::Entry readEntry(File& file, const std::string& path, const PrefixFileKey& key,
                            const PrefixEntries& before) {
  Bytes record;
  record.all.resize(recordBytes(key.format));
  if (!file.read(record.all.data(), record.all.size())) refuseDamaged(path);
  size_t at = record.all.size() - sizeof(uint64_t);
  const auto sum = record.get<uint64_t>(at);
  record.all.resize(record.all.size() - sizeof(uint64_t));
  if (blockChecksum(record.all) != sum) refuseDamaged(path);
  at = 0;
  PrefixTree::Entry entry;
  entry.parent = record.get<uint32_t>(at);
  entry.space = record.get<uint64_t>(at);
  for (uint32_t i = 0; i < key.format.blockTokens; ++i) entry.run.push_back(record.get<int32_t>(at));
  auto block = std::make_shared<KvBlock>();
  block->firstPosition = record.get<uint32_t>(at);
  block->checksum = record.get<uint64_t>(at);
  block->tokens = key.format.blockTokens;
  block->layout = key.format.layout;
  const bool isRoot = entry.parent == PrefixTree::kNoParent;
  if (!isRoot && entry.parent >= before.size()) refuseDamaged(path);
  const uint32_t position = isRoot ? 0 : before[entry.parent].block->firstPosition + key.format.blockTokens;
  const auto isKnown = [&](int32_t token) { return token >= 0 && static_cast<uint32_t>(token) < key.vocabSize; };
  if (block->firstPosition != position || !std::all_of(entry.run.begin(), entry.run.end(), isKnown)) {
    refuseDamaged(path);
  }
  block->bytes.resize(key.format.blockBytes);
  if (!file.read(block->bytes.data(), block->bytes.size()) || blockChecksum(block->bytes) != block->checksum) {
    refuseDamaged(path);
  }
  entry.block = std::move(block);
  return entry;
}

uint32_t countLeaves(const PrefixEntries& entries) {
  std::vector<bool> isParent(entries.size(), false);
  for (const PrefixTree::Entry& entry : entries) {
    if (entry.parent != PrefixTree::kNoParent) isParent[entry.parent] = true;
  }
  return static_cast<uint32_t>(std::count(isParent.begin(), isParent.end(), false));
}

// The whole run that ends with the entry at `last`.
PrefixTokens tokensUpTo(const PrefixEntries& entries, uint32_t last) {
  std::vector<uint32_t> path;
  for (; last != PrefixTree::kNoParent; last = entries[last].parent) path.push_back(last);
  PrefixTokens tokens;
  for (auto one = path.rbegin(); one != path.rend(); ++one) {
    tokens.insert(tokens.end(), entries[*one].run.begin(), entries[*one].run.end());
  }
  return tokens;
}

}  // namespace

uint64_t sampleFile(const std::string& path, uint64_t fileBytes) {
  File file(path, O_RDONLY);
  std::vector<uint8_t> sample(std::min<uint64_t>(kSampleBytes, fileBytes));
  std::vector<uint8_t> sums;
  for (size_t i = 0; i < kSamples; ++i) {
    const uint64_t offset = (fileBytes - sample.size()) / (kSamples - 1) * i;
    if (!file.isOpen() || !file.readAt(offset, sample.data(), sample.size())) {
      throw Failure(codes::kModelUnusable, path + " can no longer be read", "file");
    }
    const uint64_t sum = blockChecksum(sample);
    const auto* raw = reinterpret_cast<const uint8_t*>(&sum);
    sums.insert(sums.end(), raw, raw + sizeof(sum));
  }
  return blockChecksum(sums);
}

PrefixFileSummary writePrefixFile(const std::string& path, const PrefixFileKey& key, const PrefixEntries& entries,
                                  const std::function<bool()>& cancelled) {
  static std::atomic<uint32_t> lastNumber{0};
  const std::string draft = path + "." + std::to_string(getpid()) + "." + std::to_string(++lastNumber) + ".tmp";
  PrefixFileSummary summary;
  summary.prefixes = countLeaves(entries);
  summary.tokens = uint64_t{key.format.blockTokens} * entries.size();
  try {
    File file(draft, O_WRONLY | O_CREAT | O_EXCL);
    const auto put = [&](const std::vector<uint8_t>& bytes) {
      if (!file.isOpen() || !file.write(bytes.data(), bytes.size())) {
        refuse(path, "unwritable", std::string("cannot be written: ") + strerror(errno));
      }
      summary.bytes += bytes.size();
    };
    Bytes header = headerOf(key, static_cast<uint32_t>(entries.size()));
    header.put(blockChecksum(header.all));
    put(header.all);
    for (const PrefixTree::Entry& entry : entries) {
      stopIf(cancelled);
      put(recordOf(entry).all);
      put(entry.block->bytes);
    }
    if (!file.sync() || rename(draft.c_str(), path.c_str()) != 0) {
      refuse(path, "unwritable", std::string("cannot be written: ") + strerror(errno));
    }
  } catch (...) {
    unlink(draft.c_str());
    throw;
  }
  return summary;
}

PrefixEntries readPrefixFile(const std::string& path, const PrefixFileKey& key, uint64_t budgetBytes,
                             const std::function<bool()>& cancelled) {
  File file(path, O_RDONLY);
  if (!file.isOpen()) refuse(path, "unreadable", "cannot be read");
  Bytes expected = headerOf(key, 0);
  Bytes header;
  header.all.resize(expected.all.size() + sizeof(uint64_t));
  if (!file.read(header.all.data(), header.all.size()) || memcmp(header.all.data(), kMagic, sizeof(kMagic)) != 0) {
    refuse(path, "foreign", "is not a file of prefixes");
  }
  size_t at = expected.all.size();
  const auto sum = header.get<uint64_t>(at);
  header.all.resize(expected.all.size());
  if (blockChecksum(header.all) != sum) refuseDamaged(path);
  at = sizeof(kMagic) + sizeof(kVersion);
  const auto count = header.get<uint32_t>(at);
  expected = headerOf(key, count);
  PrefixFileKey stricter = key;
  stricter.format.hasGenerated = false;
  if (header.all != expected.all && header.all != headerOf(stricter, count).all)
    refuse(path, "foreign", "belongs to another model, another version or other options");
  const uint64_t entryBytes = recordBytes(key.format) + key.format.blockBytes;
  if ((file.bytes() - header.all.size() - sizeof(uint64_t)) / entryBytes < count) refuseDamaged(path);
  PrefixEntries entries;
  while (entries.size() < count && (entries.size() + 1) * key.format.blockBytes <= budgetBytes) {
    stopIf(cancelled);
    entries.push_back(readEntry(file, path, key, entries));
  }
  return entries;
}

PrefixFileSummary adoptPrefixes(PrefixStore& store, const PrefixEntries& entries) {
  PrefixFileSummary summary;
  for (size_t first = 0, next = 0; first < entries.size(); first = next) {
    // A run without branches is added at once.
    PrefixTokens tokens = tokensUpTo(entries, entries[first].parent);
    std::vector<PrefixBlock> blocks;
    do {
      tokens.insert(tokens.end(), entries[next].run.begin(), entries[next].run.end());
      blocks.push_back(entries[next].block);
    } while (++next < entries.size() && entries[next].parent + 1 == next);
    std::lock_guard<std::mutex> lock(store.mutex);
    const uint64_t room = (store.tree.budgetBytes() - store.tree.bytes()) / store.format.blockBytes;
    blocks.resize(std::min<uint64_t>(blocks.size(), room));
    const uint64_t before = store.tree.blocks();
    store.tree.insert(entries[first].space, tokens, entries[first].block->firstPosition, blocks);
    const uint64_t added = store.tree.blocks() - before;
    summary.prefixes += added > 0 ? 1 : 0;
    summary.tokens += added * store.format.blockTokens;
    summary.bytes += added * store.format.blockBytes;
  }
  return summary;
}

}  // namespace llamaestro
