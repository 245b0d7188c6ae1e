#include "gguf-metadata.h"

#include <algorithm>

#include "gguf-header.h"
#include "llama.h"

namespace llamaestro {
namespace {

constexpr double kMaxParts = 9999;

void stopIf(const std::shared_ptr<std::atomic<bool>>& cancel) {
  if (cancel && cancel->load()) throw Failure(codes::kCancelled, "reading the metadata was cancelled");
}

uint64_t countOf(const GgufMetadata& values, const std::string& key) {
  const auto found = values.find(key);
  const bool isCount = found != values.end() && found->second.number >= 0 && found->second.number < 9e15;
  return isCount ? static_cast<uint64_t>(found->second.number) : 0;
}

// The type that most bytes have, where the file does not name its mixture.
std::string quantisationOf(const FileMetadata& file) {
  if (file.values.count("general.file_type") > 0) {
    const uint64_t type = countOf(file.values, "general.file_type");
    const char* name = type < LLAMA_FTYPE_GUESSED ? llama_ftype_name(static_cast<llama_ftype>(type)) : nullptr;
    if (name != nullptr) return name;
  }
  const auto most = std::max_element(file.bytesByType.begin(), file.bytesByType.end(),
                                     [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == file.bytesByType.end() ? "" : most->first;
}

// Cut between two characters, where it is UTF-8.
std::string shortened(std::string text, size_t mostBytes) {
  if (text.size() <= mostBytes) return text;
  size_t end = mostBytes;
  while (end > mostBytes - 3 && (static_cast<uint8_t>(text[end]) & 0xc0u) == 0x80u) --end;
  text.resize(end);
  return text + "\u2026";
}

void shorten(GgufMetadata& values) {
  for (auto& [key, value] : values) {
    value.text = shortened(std::move(value.text), kMaxShownBytes);
    for (GgufValue& element : value.first) element.text = shortened(std::move(element.text), kMaxShownBytes);
  }
}

void addPart(const std::string& path, uint32_t number, FileMetadata& file,
             const std::shared_ptr<std::atomic<bool>>& cancel) {
  stopIf(cancel);
  GgufReader reader(path);
  GgufHeader header = readGgufHeader(reader, [&](const std::string&) { stopIf(cancel); });
  if (integerOf(reader, header.metadata, "split.no", 0, kMaxParts, 0) != number) {
    reader.refuse(number == 0 ? "it is a later part of a model in several files; name the first"
                              : "it is not part " + std::to_string(number + 1));
  }
  readGgufTensors(reader, header, [&](const GgufTensor& tensor) {
    stopIf(cancel);
    ++file.tensorCount;
    file.parameterCount += tensor.elements;
    file.tensorBytes += tensor.bytes;
    file.bytesByType[ggml_type_name(tensor.type)] += tensor.bytes;
  });
  file.files.push_back(path);
  file.fileBytes += reader.fileBytes();
  if (number > 0) return;
  file.version = header.version;
  const double parts = integerOf(reader, header.metadata, "split.count", 0, kMaxParts, 1);
  file.values = std::move(header.metadata);
  for (uint32_t next = 1; next < static_cast<uint32_t>(parts); ++next) {
    addPart(partPath(path, next, static_cast<uint32_t>(parts)), next, file, cancel);
  }
}

}  // namespace

Result<FileMetadata> readFileMetadata(const std::string& path, const std::shared_ptr<std::atomic<bool>>& cancel) {
  return guarded<FileMetadata>(
      [&] {
        if (path.find('\0') != std::string::npos) {
          throw Failure(codes::kModelUnusable, "the file name holds a zero byte", "path");
        }
        FileMetadata file;
        addPart(path, 0, file, cancel);
        file.chatTemplate = shortened(textOf(file.values, "tokenizer.chat_template"), kMaxShownTemplateBytes);
        shorten(file.values);
        file.kind = textOf(file.values, "general.type");
        if (file.kind.empty()) file.kind = "model";
        file.architecture = textOf(file.values, "general.architecture");
        file.name = textOf(file.values, "general.name");
        file.license = textOf(file.values, "general.license");
        file.contextTokens = countOf(file.values, file.architecture + ".context_length");
        const auto tokens = file.values.find(kTokensKey);
        if (tokens != file.values.end()) file.vocabSize = tokens->second.arrayLength;
        file.quantisation = quantisationOf(file);
        return file;
      },
      codes::kModelUnusable);
}

}  // namespace llamaestro
