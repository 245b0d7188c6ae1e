#include "kv-rows.h"

#include <algorithm>

#include "ggml-backend.h"

namespace llamaestro {

void KvRowList::write(const void* from, size_t count) {
  const auto* raw = static_cast<const uint8_t*>(from);
  structure_.insert(structure_.end(), raw, raw + count);
}

void KvRowList::write_tensor(ggml_tensor* tensor, size_t offset, size_t count) {
  spans_.push_back({tensor, offset, count, rowBytes_});
  rowBytes_ += count;
}

void KvRowList::read(uint64_t offset, uint8_t* to, uint64_t count) const {
  if (count == 0) return;
  const auto isBehind = [](uint64_t at, const KvSpan& span) { return at < span.offset; };
  auto span = std::upper_bound(spans_.begin(), spans_.end(), offset, isBehind) - 1;
  for (; count > 0; ++span) {
    const uint64_t skipped = offset - span->offset;
    const uint64_t part = std::min(count, span->bytes - skipped);
    ggml_backend_tensor_get(span->tensor, to, span->tensorOffset + skipped, part);
    offset += part;
    to += part;
    count -= part;
  }
}

}  // namespace llamaestro
