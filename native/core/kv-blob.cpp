#include "kv-blob.h"

#include <cstring>

#include "error.h"

namespace llamaestro {
namespace {

class Cursor {
 public:
  Cursor(const std::vector<uint8_t>& bytes, KvRows rows) : bytes_(bytes), rows_(rows) {}

  template <typename T>
  T take() {
    T value;
    need(sizeof(value));
    memcpy(&value, bytes_.data() + at_, sizeof(value));
    at_ += sizeof(value);
    return value;
  }
  // Rows of a plane: where they begin.
  uint64_t skipRows(uint64_t count) {
    if (rows_ == KvRows::Elsewhere) {
      elsewhere_ += count;
      return elsewhere_ - count;
    }
    need(count);
    const uint64_t from = at_;
    at_ += count;
    return from;
  }
  uint64_t left() const { return bytes_.size() - at_; }
  bool atEnd() const { return left() == 0; }

 private:
  void need(uint64_t count) const {
    if (count > bytes_.size() - at_) throw Failure(codes::kInternal, "a sequence blob ends too early");
  }
  const std::vector<uint8_t>& bytes_;
  const KvRows rows_;
  uint64_t at_ = 0;
  uint64_t elsewhere_ = 0;
};

class Writer {
 public:
  explicit Writer(uint64_t capacity) { bytes_.reserve(capacity); }
  template <typename T>
  void put(T value) {
    const auto* raw = reinterpret_cast<const uint8_t*>(&value);
    bytes_.insert(bytes_.end(), raw, raw + sizeof(value));
  }
  void append(const uint8_t* data, uint64_t count) { bytes_.insert(bytes_.end(), data, data + count); }
  std::vector<uint8_t> take() { return std::move(bytes_); }

 private:
  std::vector<uint8_t> bytes_;
};

void takeCells(Cursor& cursor, uint32_t count, KvBlob& blob) {
  for (uint32_t i = 0; i < count; ++i) {
    blob.positions.push_back(cursor.take<int32_t>());
    if (cursor.take<uint32_t>() != 1) throw Failure(codes::kInternal, "a cell of a sequence blob has several owners");
    cursor.take<int32_t>();  // the sequence id
  }
}

KvPlane takeRowPlane(Cursor& cursor) {
  KvPlane plane;
  plane.type = cursor.take<int32_t>();
  plane.rowBytes = cursor.take<uint64_t>();
  return plane;
}

KvPlane takeTransposedPlane(Cursor& cursor) {
  KvPlane plane;
  plane.type = cursor.take<int32_t>();
  plane.rowBytes = cursor.take<uint32_t>();
  plane.channels = cursor.take<uint32_t>();
  plane.transposed = true;
  return plane;
}

void mix(uint64_t& hash, uint64_t value) {
  hash = (hash ^ value) * 0x9E3779B97F4A7C15u;
  hash ^= hash >> 32;
}

}  // namespace

uint64_t KvLayout::cellBytes() const {
  uint64_t sum = 0;
  for (const KvPlane& plane : planes) sum += plane.cellBytes();
  return sum;
}

uint64_t KvLayout::hash() const {
  uint64_t result = 0x6c6c616d61657374u;
  mix(result, transposedValues);
  mix(result, layers);
  for (const KvPlane& plane : planes) {
    mix(result, static_cast<uint64_t>(plane.type));
    mix(result, plane.rowBytes);
    mix(result, plane.channels);
  }
  return result;
}

KvBlob parseKvBlob(std::vector<uint8_t> bytes, KvRows rows) {
  KvBlob blob;
  blob.bytes = std::move(bytes);
  Cursor cursor(blob.bytes, rows);
  KvLayout& layout = blob.layout;
  layout.magic = cursor.take<uint32_t>();
  cursor.take<int32_t>();  // the sequence id it was taken from
  layout.streams = cursor.take<uint32_t>();
  if (layout.streams == 0 || layout.streams > 256) throw Failure(codes::kInternal, "a sequence blob has no streams");
  for (uint32_t stream = 0; stream < layout.streams; ++stream) {
    const auto cells = cursor.take<uint32_t>();
    if (cells == 0) continue;
    if (!blob.positions.empty()) throw Failure(codes::kInternal, "a sequence blob has cells in two streams");
    takeCells(cursor, cells, blob);
    layout.transposedValues = cursor.take<uint32_t>();
    layout.layers = cursor.take<uint32_t>();
    if (layout.layers > 4096) throw Failure(codes::kInternal, "a sequence blob has too many layers");
    for (uint32_t i = 0; i < layout.layers; ++i) {
      layout.planes.push_back(takeRowPlane(cursor));
      blob.planeOffsets.push_back(cursor.skipRows(cells * layout.planes.back().cellBytes()));
    }
    // Some models keep no values: only the counts of the empty streams follow their keys.
    const uint64_t behind = sizeof(uint32_t) * uint64_t{layout.streams - 1 - stream};
    for (uint32_t i = 0; i < layout.layers && cursor.left() > behind; ++i) {
      layout.planes.push_back(layout.transposedValues != 0 ? takeTransposedPlane(cursor) : takeRowPlane(cursor));
      blob.planeOffsets.push_back(cursor.skipRows(cells * layout.planes.back().cellBytes()));
    }
  }
  if (!cursor.atEnd()) throw Failure(codes::kInternal, "a sequence blob goes on behind its end");
  return blob;
}

std::vector<uint8_t> gatherCells(const KvBlob& blob, const std::vector<uint32_t>& cells, const KvRowReader& read) {
  std::vector<uint8_t> data(cells.size() * blob.layout.cellBytes());
  uint8_t* to = data.data();
  const uint64_t all = blob.positions.size();
  for (size_t p = 0; p < blob.layout.planes.size(); ++p) {
    const KvPlane& plane = blob.layout.planes[p];
    for (uint32_t channel = 0; channel < plane.channels; ++channel) {
      const uint64_t base = blob.planeOffsets[p] + channel * all * plane.rowBytes;
      for (size_t i = 0; i < cells.size();) {
        size_t end = i + 1;
        while (end < cells.size() && cells[end] == cells[end - 1] + 1) ++end;
        const uint64_t count = (end - i) * plane.rowBytes;
        read(base + cells[i] * plane.rowBytes, to, count);
        to += count;
        i = end;
      }
    }
  }
  return data;
}

std::vector<uint8_t> gatherCells(const KvBlob& blob, const std::vector<uint32_t>& cells) {
  return gatherCells(blob, cells,
                     [&](uint64_t from, uint8_t* to, uint64_t count) { memcpy(to, blob.bytes.data() + from, count); });
}

std::vector<uint8_t> assembleKvBlob(const KvLayout& layout, int32_t sequence, const std::vector<KvPiece>& pieces) {
  uint32_t cells = 0;
  for (const KvPiece& piece : pieces) cells += piece.cells;
  Writer writer(cells * (layout.cellBytes() + 12) + 32 * layout.planes.size() + 4 * layout.streams + 64);
  writer.put(layout.magic);
  writer.put(sequence);
  writer.put(layout.streams);
  writer.put(cells);
  for (uint32_t cell = 0; cell < cells; ++cell) {
    writer.put(static_cast<int32_t>(cell));  // its position
    writer.put(uint32_t{1});
    writer.put(sequence);
  }
  writer.put(layout.transposedValues);
  writer.put(layout.layers);
  uint64_t planeStart = 0;  // bytes of the planes before this one, per cell
  for (const KvPlane& plane : layout.planes) {
    writer.put(plane.type);
    if (plane.transposed) {
      writer.put(static_cast<uint32_t>(plane.rowBytes));
      writer.put(plane.channels);
    } else {
      writer.put(plane.rowBytes);
    }
    for (uint32_t channel = 0; channel < plane.channels; ++channel) {
      for (const KvPiece& piece : pieces) {
        const uint64_t runBytes = piece.cells * plane.rowBytes;
        writer.append(piece.data + piece.cells * planeStart + channel * runBytes, runBytes);
      }
    }
    planeStart += plane.cellBytes();
  }
  // llama.cpp puts the cells of any stream into the destination's own; the others are empty.
  for (uint32_t stream = 1; stream < layout.streams; ++stream) writer.put(uint32_t{0});
  return writer.take();
}

}  // namespace llamaestro
