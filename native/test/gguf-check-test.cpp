// Damages copies of a good file and expects a sentence instead of a crash. The writer below makes headers byte by byte,
// so that every field can be wrong.
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <vector>

#include "engine.h"
#include "gguf-check.h"
#include "gguf-metadata.h"
#include "harness.h"

using namespace llamaestro;

namespace {

class Header {
 public:
  Header& u32(uint32_t value) { return raw(&value, 4); }
  Header& u64(uint64_t value) { return raw(&value, 8); }
  Header& f32(float value) { return raw(&value, 4); }
  Header& text(const std::string& value) { return u64(value.size()).raw(value.data(), value.size()); }
  Header& keyText(const std::string& key, const std::string& value) { return text(key).u32(8).text(value); }
  Header& keyNumber(const std::string& key, uint32_t value) { return text(key).u32(4).u32(value); }
  Header& keyFloat(const std::string& key, float value) { return text(key).u32(6).f32(value); }
  Header& tokens(const std::vector<std::string>& all) {
    text("tokenizer.ggml.tokens").u32(9).u32(8).u64(all.size());
    for (const std::string& one : all) text(one);
    return *this;
  }
  Header& append(const std::string& bytes) { return raw(bytes.data(), bytes.size()); }
  const std::string& bytes() const { return bytes_; }

 private:
  Header& raw(const void* data, size_t count) {
    bytes_.append(static_cast<const char*>(data), count);
    return *this;
  }
  std::string bytes_;
};

struct Shape {
  std::string magic = "GGUF";
  uint32_t version = 3;
  uint64_t tensors = 1;
  uint64_t extraKeys = 0;
  std::string moreKeys;  // bytes of keys that extraKeys counts
  uint32_t blocks = 2;
  float epsilon = 1e-5f;
  uint32_t dimensions = 1;
  uint64_t length = 32;
  uint32_t type = 0;
  uint64_t offset = 0;
  uint64_t dataBytes = 128;
};

std::string fileOf(const Shape& shape) {
  Header header;
  header.u64(shape.tensors).u64(4 + shape.extraKeys);
  header.keyText("general.architecture", "llama").keyText("general.name", "made up");
  header.keyNumber("llama.block_count", shape.blocks);
  header.keyFloat("llama.attention.layer_norm_rms_epsilon", shape.epsilon);
  header.append(shape.moreKeys);
  header.text("blk.0.attn_norm.weight").u32(shape.dimensions);
  for (uint32_t i = 0; i < std::min(shape.dimensions, 8u); ++i) header.u64(i == 0 ? shape.length : 1);
  header.u32(shape.type).u64(shape.offset);
  std::string bytes = shape.magic + std::string(reinterpret_cast<const char*>(&shape.version), 4) + header.bytes();
  bytes.resize((bytes.size() + 31) / 32 * 32 + shape.dataBytes);
  return bytes;
}

std::string write(const std::string& bytes) {
  const std::string path = tests::scratchFolder() + "/file.gguf";
  std::ofstream(path, std::ios::binary) << bytes;
  return path;
}

// What the check says, or "good".
std::string verdict(const std::string& bytes) {
  const Result<GgufSummary> result = checkGguf(write(bytes));
  return result.ok() ? "good" : result.error().code + ": " + result.error().message;
}

void checkRefused(const Shape& shape, const std::string& says) {
  const std::string got = verdict(fileOf(shape));
  if (got.find("model_unusable") != 0 || got.find(says) == std::string::npos) {
    tests::failAt(__FILE__, __LINE__, "expected a refusal that says '" + says + "', got: " + got);
  }
}

std::string readFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

// Keys whose strings have no bytes on the disk.
std::string writeSparse(uint64_t keys, uint64_t bytesEach) {
  const std::string path = tests::scratchFolder() + "/sparse.gguf";
  std::ofstream file(path, std::ios::binary);
  Header header;
  header.append("GGUF").u32(3).u64(0).u64(1 + keys).keyText("general.architecture", "llama");
  file << header.bytes();
  for (uint64_t i = 0; i < keys; ++i) {
    Header key;
    key.text("k" + std::to_string(i)).u32(8).u64(bytesEach);
    file << key.bytes();
    file.seekp(static_cast<std::streamoff>(bytesEach), std::ios::cur);
  }
  file << std::string(64, '\0');
  return path;
}

}  // namespace

TEST("gguf check: a header that holds more than any model's is refused before it is kept") {
  const std::string path = writeSparse(64, 8 << 20);
  for (const Error& error : {checkGguf(path).error(), readFileMetadata(path).error()}) {
    CHECK_EQUAL(error.code, "model_unusable");
    CHECK(error.message.find("header has more than") != std::string::npos);
  }
}

TEST("gguf metadata: long texts are shown by their beginning, the chat template is whole") {
  const std::string path = tests::scratchFolder() + "/long.gguf";
  std::string text = std::string(4095, 'a') + "\u00e4\u00e4";
  Header header;
  header.append("GGUF").u32(3).u64(0).u64(4).keyText("general.architecture", "llama").keyText("general.name", text);
  header.keyText("tokenizer.chat_template", text).tokens({"a", text});
  std::ofstream(path, std::ios::binary) << header.bytes();
  const FileMetadata read = readFileMetadata(path).value();
  const std::string cut = std::string(4095, 'a') + "\u2026";
  CHECK_EQUAL(read.name, cut);
  CHECK_EQUAL(read.chatTemplate, text);
  CHECK_EQUAL(read.values.at("tokenizer.chat_template").text, cut);
  CHECK_EQUAL(read.values.at("tokenizer.ggml.tokens").first[1].text, cut);
  CHECK_EQUAL(read.values.at("tokenizer.ggml.tokens").first[0].text, "a");
}

TEST("gguf check: a whole file passes and tells what it holds") {
  CHECK_EQUAL(verdict(fileOf({})), "good");
  const GgufSummary summary = checkGguf(tests::modelPath("tiny")).value();
  CHECK_EQUAL(summary.architecture, "llama");
  CHECK(summary.blockCount >= 1);
  CHECK(summary.vocabSize > 256);
  CHECK(summary.tensorBytes < summary.fileBytes);
}

TEST("gguf check: a sparse file of the right size passes") {
  Shape shape;
  shape.length = uint64_t{8} << 30;
  shape.dimensions = 2;
  shape.dataBytes = 0;
  const std::string path = write(fileOf(shape));
  CHECK_EQUAL(truncate(path.c_str(), static_cast<off_t>(uint64_t{33} << 30)), 0);
  CHECK(checkGguf(path).ok());
}

TEST("gguf check: every damaged header is refused with a sentence") {
  Shape shape;
  shape.magic = "GGML";
  checkRefused(shape, "does not begin");
  shape = {};
  shape.version = 1;
  checkRefused(shape, "version 1");
  shape.version = 3u << 24;
  checkRefused(shape, "big-endian");
  shape = {};
  shape.tensors = uint64_t{1} << 40;
  checkRefused(shape, "tensors");
  shape = {};
  shape.extraKeys = uint64_t{1} << 40;
  checkRefused(shape, "keys");
  shape = {};
  shape.extraKeys = 1;
  checkRefused(shape, "");
  for (uint32_t blocks : {0u, 513u, 4294967295u}) {
    shape = {};
    shape.blocks = blocks;
    checkRefused(shape, "block_count");
  }
  for (float epsilon : {-1e-5f, std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    shape = {};
    shape.epsilon = epsilon;
    checkRefused(shape, "epsilon");
  }
  shape = {};
  shape.extraKeys = 1;
  shape.moreKeys = Header().tokens({"a", "b", "a"}).bytes();
  checkRefused(shape, "twice");
  shape.moreKeys = Header().tokens({"a", "b", "c"}).keyText("tokenizer.ggml.model", "rwkv").bytes();
  shape.extraKeys = 2;
  const Shape walks = shape;
  CHECK_EQUAL(verdict(fileOf(walks)), "good");
  shape.moreKeys = Header().tokens({"a", "\\x62c", "c"}).keyText("tokenizer.ggml.model", "rwkv").bytes();
  checkRefused(shape, "rwkv");
  shape.extraKeys = 1;
  shape.moreKeys = Header().keyNumber("llama.expert_count", 8).bytes();
  checkRefused(shape, "expert_used_count");
  shape.moreKeys = Header().keyNumber("llama.expert_used_count", 2).bytes();
  checkRefused(shape, "expert_used_count");
  shape.moreKeys = Header().keyNumber("llama.nextn_predict_layers", 3).bytes();
  checkRefused(shape, "nextn_predict_layers");
  shape.extraKeys = 2;
  for (const uint32_t turning : {34u, 7u}) {
    const Header keys = Header().keyNumber("llama.attention.key_length", 32);
    shape.moreKeys = Header(keys).keyNumber("llama.rope.dimension_count", turning).bytes();
    checkRefused(shape, "rope.dimension_count");
  }
  shape = {};
  shape.type = 8;
  checkRefused(shape, "quantised vector");
  shape.type = 1;
  checkRefused(shape, "must be of type f32");
  shape.type = 26;
  checkRefused(shape, "no type for weights");
  shape.type = 4711;
  checkRefused(shape, "unknown type");
  shape = {};
  shape.dimensions = 0;
  checkRefused(shape, "dimensions");
  shape.dimensions = 5;
  checkRefused(shape, "dimensions");
  shape = {};
  shape.length = 0;
  checkRefused(shape, "shape");
  shape = {};
  shape.length = 33;
  checkRefused(shape, "truncated");
  shape = {};
  shape.offset = 32;
  checkRefused(shape, "truncated");
  shape.offset = 7;
  checkRefused(shape, "unaligned");
  shape.offset = ~uint64_t{31};
  checkRefused(shape, "behind the end");
}

TEST("gguf check: a file cut anywhere is refused") {
  const std::string whole = readFile(tests::modelPath("tiny"));
  for (size_t size = 0; size < whole.size(); size += 1 + whole.size() / 97) {
    const std::string got = verdict(whole.substr(0, size));
    if (got.find("model_unusable") != 0)
      tests::failAt(__FILE__, __LINE__, "cut at " + std::to_string(size) + ": " + got);
  }
}

TEST("gguf check: what only llama.cpp can judge carries its own last error line") {
  std::string bytes = fileOf({});
  // The first "llama" is the value of general.architecture.
  bytes.replace(bytes.find("llama"), 5, "nosuc");
  LoadOptions options;
  options.file = write(bytes);
  const Result<MemoryPlan> plan = planMemory(options);
  CHECK(!plan.ok());
  CHECK_EQUAL(plan.error().code, "model_unusable");
  CHECK(plan.error().message.find("nosuc") != std::string::npos);
}

TEST("gguf check: what contradicts itself is refused where llama.cpp would end the process") {
  // The key and its value; the shape of the tensors says 64 or so.
  std::string bytes = readFile(tests::modelPath("tiny"));
  const std::string key = "llama.rope.dimension_count";
  const size_t at = bytes.find(key);
  CHECK(at != std::string::npos);
  const uint32_t count = 0x10000;
  memcpy(&bytes[at + key.size() + 4], &count, sizeof(count));
  LoadOptions options;
  options.file = write(bytes);
  options.contextTokens = 256;
  const Result<MemoryPlan> plan = planMemory(options);
  CHECK(!plan.ok());
  CHECK_EQUAL(plan.error().code, "model_unusable");
}

TEST("gguf check: no file, a folder and a zero byte in the name are refused") {
  for (const std::string& path : {std::string("/nowhere/model.gguf"), std::string("/tmp"), std::string("a\0b", 3)}) {
    CHECK_EQUAL(checkGguf(path).error().code, "model_unusable");
  }
}

TEST("gguf check: flipped bits never get a crash out of plan or load") {
  const std::string whole = readFile(tests::modelPath("tiny"));
  uint32_t random = 12345;
  for (int i = 0; i < 60; ++i) {
    std::string damaged = whole;
    random = random * 1664525u + 1013904223u;
    // The first part of the header holds what decides shapes; the vocabulary behind it is long and dull.
    const size_t at = random % 1500;
    damaged[at] = static_cast<char>(damaged[at] ^ (1 << (random >> 29)));
    LoadOptions options;
    options.file = write(damaged);
    options.contextTokens = 256;
    const Result<MemoryPlan> plan = planMemory(options);
    if (!plan.ok()) CHECK(plan.error().code == "model_unusable" || plan.error().code == "load_failed");
  }
}
