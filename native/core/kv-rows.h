// Internal: which bytes of which tensors a sequence's cache is, found out by letting llama.cpp write it without copying
// a row. The layout of what it writes is kv-blob's business.
#pragma once

#include <cstdint>
#include <vector>

#include "llama-io.h"

namespace llamaestro {

// Bytes of one tensor; a list of them, one behind the other, is what kv-blob calls rows that are elsewhere.
struct KvSpan {
  ggml_tensor* tensor = nullptr;
  uint64_t tensorOffset = 0;
  uint64_t bytes = 0;
  uint64_t offset = 0;  // in the whole list
};

// What llama.cpp would write: the structure, and the spans of its rows. The tensors must not be freed meanwhile.
class KvRowList : public llama_io_write_i {
 public:
  void write(const void* from, size_t count) override;
  void write_tensor(ggml_tensor* tensor, size_t offset, size_t count) override;
  size_t n_bytes() override { return structure_.size() + rowBytes_; }

  std::vector<uint8_t> takeStructure() { return std::move(structure_); }
  // Copies `count` bytes of the rows, from `offset` on. There must be so many.
  void read(uint64_t offset, uint8_t* to, uint64_t count) const;

 private:
  std::vector<uint8_t> structure_;
  std::vector<KvSpan> spans_;
  uint64_t rowBytes_ = 0;
};

}  // namespace llamaestro
