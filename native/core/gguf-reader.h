// Internal: buffered reading of a GGUF header with bounds, of the file and of memory; every overrun is a Failure
// model_unusable. Knows the encoding of values, not what keys mean.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace llamaestro {

// Value types of the format.
namespace gguf {
inline constexpr uint32_t kUint8 = 0, kInt8 = 1, kUint16 = 2, kInt16 = 3, kUint32 = 4, kInt32 = 5, kFloat32 = 6;
inline constexpr uint32_t kBool = 7, kString = 8, kArray = 9, kUint64 = 10, kInt64 = 11, kFloat64 = 12;
}  // namespace gguf

// A longer header belongs to no model: the largest vocabularies take some ten million bytes. Bounds what is kept of it,
// here and in llama.cpp.
inline constexpr uint64_t kMaxHeaderBytes = uint64_t{256} << 20;

// A metadata value as far as anybody asks: numbers as double, strings as they are, arrays as their length and
// beginning.
struct GgufValue {
  uint32_t type = 0;
  double number = 0;  // exact up to 2^53
  std::string text;
  uint64_t arrayLength = 0;
  uint32_t elementType = 0;
  std::vector<GgufValue> first;  // elements, kKeptElements at most

  static constexpr uint64_t kKeptElements = 32;
};

class GgufReader {
 public:
  // Opens a regular file. Throws Failure model_unusable.
  explicit GgufReader(const std::string& path);
  ~GgufReader();
  GgufReader(const GgufReader&) = delete;
  GgufReader& operator=(const GgufReader&) = delete;

  uint64_t fileBytes() const { return fileBytes_; }
  uint64_t position() const { return position_; }
  // Of the file when it was opened, see file-identity.h.
  const std::string& identity() const { return identity_; }
  uint32_t readUint32();
  uint64_t readUint64();
  // A string of at most `maxBytes` bytes; longer ones are refused.
  std::string readString(uint64_t maxBytes);
  // `onString`, where given, sees every element of a string array.
  GgufValue readValue(const std::function<void(const std::string&)>& onString = {});

  // Throws Failure model_unusable: "FILE is not a usable GGUF file: WHAT".
  [[noreturn]] void refuse(const std::string& what) const;

 private:
  void take(void* to, uint64_t bytes);
  void skip(uint64_t bytes);
  void expect(uint64_t bytes) const;
  void skipArray(uint32_t type, uint64_t length);
  GgufValue readElement(uint32_t type);
  void readArray(GgufValue& value, const std::function<void(const std::string&)>& onString);

  std::string path_;
  int fd_ = -1;
  uint64_t fileBytes_ = 0;
  std::string identity_;
  uint64_t position_ = 0;
  std::vector<uint8_t> buffer_;
  uint64_t bufferStart_ = 0;
};

}  // namespace llamaestro
