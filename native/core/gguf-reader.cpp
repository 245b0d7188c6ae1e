#include "gguf-reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "error.h"
#include "file-identity.h"

namespace llamaestro {
namespace {

constexpr uint64_t kBufferBytes = 1 << 20;
// Chat templates are the longest single strings; tokens and merges are short.
constexpr uint64_t kMaxStringBytes = 16 << 20;

uint64_t scalarBytes(uint32_t type) {
  switch (type) {
    case gguf::kUint8:
    case gguf::kInt8:
    case gguf::kBool:
      return 1;
    case gguf::kUint16:
    case gguf::kInt16:
      return 2;
    case gguf::kUint32:
    case gguf::kInt32:
    case gguf::kFloat32:
      return 4;
    case gguf::kUint64:
    case gguf::kInt64:
    case gguf::kFloat64:
      return 8;
    default:
      return 0;
  }
}

template <typename T>
double numberFrom(const uint8_t* bytes) {
  T value;
  memcpy(&value, bytes, sizeof(value));
  return static_cast<double>(value);
}

double scalarNumber(uint32_t type, const uint8_t* bytes) {
  switch (type) {
    case gguf::kUint8:
    case gguf::kBool:
      return numberFrom<uint8_t>(bytes);
    case gguf::kInt8:
      return numberFrom<int8_t>(bytes);
    case gguf::kUint16:
      return numberFrom<uint16_t>(bytes);
    case gguf::kInt16:
      return numberFrom<int16_t>(bytes);
    case gguf::kUint32:
      return numberFrom<uint32_t>(bytes);
    case gguf::kInt32:
      return numberFrom<int32_t>(bytes);
    case gguf::kFloat32:
      return numberFrom<float>(bytes);
    case gguf::kUint64:
      return numberFrom<uint64_t>(bytes);
    case gguf::kInt64:
      return numberFrom<int64_t>(bytes);
    default:
      return numberFrom<double>(bytes);
  }
}

}  // namespace

GgufReader::GgufReader(const std::string& path) : path_(path) {
  fd_ = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd_ < 0) throw Failure(codes::kModelUnusable, path + " cannot be opened: " + strerror(errno));
  struct stat status;
  const bool regular = fstat(fd_, &status) == 0 && S_ISREG(status.st_mode);
  if (!regular) {
    close(fd_);
    throw Failure(codes::kModelUnusable, path + " is not a regular file");
  }
  fileBytes_ = static_cast<uint64_t>(status.st_size);
  identity_ = identityOf(status);
}

GgufReader::~GgufReader() { close(fd_); }

void GgufReader::refuse(const std::string& what) const {
  throw Failure(codes::kModelUnusable, path_ + " is not a usable GGUF file: " + what);
}

// Nothing behind the header is read here, so that every byte counts as one of it.
void GgufReader::expect(uint64_t bytes) const {
  if (bytes > fileBytes_ - position_) refuse("it is truncated inside the header");
  if (bytes > kMaxHeaderBytes || position_ > kMaxHeaderBytes - bytes) {
    refuse("its header has more than " + std::to_string(kMaxHeaderBytes) + " bytes");
  }
}

void GgufReader::take(void* to, uint64_t bytes) {
  expect(bytes);
  auto* out = static_cast<uint8_t*>(to);
  while (bytes > 0) {
    if (position_ < bufferStart_ || position_ >= bufferStart_ + buffer_.size()) {
      buffer_.resize(std::min(kBufferBytes, fileBytes_ - position_));
      bufferStart_ = position_;
      const ssize_t got = pread(fd_, buffer_.data(), buffer_.size(), static_cast<off_t>(position_));
      if (got <= 0) refuse("it cannot be read to its end");
      buffer_.resize(static_cast<size_t>(got));
    }
    const uint64_t offset = position_ - bufferStart_;
    const uint64_t part = std::min<uint64_t>(bytes, buffer_.size() - offset);
    memcpy(out, buffer_.data() + offset, part);
    out += part;
    position_ += part;
    bytes -= part;
  }
}

void GgufReader::skip(uint64_t bytes) {
  expect(bytes);
  position_ += bytes;
}

uint32_t GgufReader::readUint32() {
  uint32_t value;
  take(&value, sizeof(value));
  return value;
}

uint64_t GgufReader::readUint64() {
  uint64_t value;
  take(&value, sizeof(value));
  return value;
}

std::string GgufReader::readString(uint64_t maxBytes) {
  const uint64_t length = readUint64();
  if (length > maxBytes) refuse("a string of " + std::to_string(length) + " bytes");
  expect(length);
  std::string text(length, '\0');
  take(text.data(), length);
  return text;
}

void GgufReader::skipArray(uint32_t type, uint64_t length) {
  if (type == gguf::kString) {
    // Each element has at least its length field, which bounds the loop by the file size.
    for (uint64_t i = 0; i < length; ++i) {
      const uint64_t bytes = readUint64();
      if (bytes > kMaxStringBytes) refuse("a string of " + std::to_string(bytes) + " bytes");
      skip(bytes);
    }
    return;
  }
  const uint64_t each = scalarBytes(type);
  if (length > (fileBytes_ - position_) / each) refuse("it is truncated inside the header");
  skip(length * each);
}

GgufValue GgufReader::readElement(uint32_t type) {
  GgufValue value;
  value.type = type;
  if (type == gguf::kString) {
    value.text = readString(kMaxStringBytes);
    return value;
  }
  const uint64_t bytes = scalarBytes(type);
  if (bytes == 0) refuse("a value of the unknown type " + std::to_string(type));
  uint8_t raw[8];
  take(raw, bytes);
  value.number = scalarNumber(type, raw);
  return value;
}

void GgufReader::readArray(GgufValue& value, const std::function<void(const std::string&)>& onString) {
  value.elementType = readUint32();
  value.arrayLength = readUint64();
  if (value.elementType != gguf::kString && scalarBytes(value.elementType) == 0) {
    refuse("an array of the unknown type " + std::to_string(value.elementType));
  }
  const bool isWatched = onString && value.elementType == gguf::kString;
  const uint64_t kept = std::min(value.arrayLength, GgufValue::kKeptElements);
  for (uint64_t i = 0; i < kept; ++i) {
    value.first.push_back(readElement(value.elementType));
    if (isWatched) onString(value.first.back().text);
  }
  if (!isWatched) return skipArray(value.elementType, value.arrayLength - kept);
  for (uint64_t i = kept; i < value.arrayLength; ++i) onString(readString(kMaxStringBytes));
}

GgufValue GgufReader::readValue(const std::function<void(const std::string&)>& onString) {
  const uint32_t type = readUint32();
  if (type != gguf::kArray) return readElement(type);
  GgufValue value;
  value.type = type;
  readArray(value, onString);
  return value;
}

}  // namespace llamaestro
