// Internal and pure: the byte layout of llama.cpp's sequence blobs for one attention cache: header, cells, then the
// rows of keys and values layer by layer. Takes blobs apart and puts them together. The layout belongs to the pinned
// version.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

namespace llamaestro {

// Keys or values of one layer. Row-major: a cell is `rowBytes` in one piece. Transposed values: `channels` runs of
// cells, each cell `rowBytes` (one element) in each.
struct KvPlane {
  int32_t type = 0;
  uint64_t rowBytes = 0;
  uint32_t channels = 1;
  bool transposed = false;
  uint64_t cellBytes() const { return rowBytes * channels; }
};

// What all blobs of a context have in common.
struct KvLayout {
  uint32_t magic = 0;
  uint32_t streams = 0;
  uint32_t transposedValues = 0;
  uint32_t layers = 0;
  std::vector<KvPlane> planes;  // keys of all layers, then values of all layers (or none)

  uint64_t cellBytes() const;
  // Equal for contexts whose blocks can be exchanged; the number of streams does not matter.
  uint64_t hash() const;
};

// Where the rows of a blob's planes are: between the structure, or apart from it, one behind the other.
enum class KvRows : uint8_t { Inside, Elsewhere };

// A blob taken apart. `planeOffsets` point into `bytes`, or into where the rows are.
struct KvBlob {
  KvLayout layout;
  std::vector<int32_t> positions;      // of each cell, in blob order
  std::vector<uint64_t> planeOffsets;  // where the rows of each plane begin
  std::vector<uint8_t> bytes;
};

// Throws Failure internal when the bytes are not laid out as expected to the last one.
KvBlob parseKvBlob(std::vector<uint8_t> bytes, KvRows rows = KvRows::Inside);

// The data of `cells` (indexes into blob.positions) plane by plane: what a block holds.
std::vector<uint8_t> gatherCells(const KvBlob& blob, const std::vector<uint32_t>& cells);
// The same with rows that are elsewhere: copies `count` bytes from there.
using KvRowReader = std::function<void(uint64_t from, uint8_t* to, uint64_t count)>;
std::vector<uint8_t> gatherCells(const KvBlob& blob, const std::vector<uint32_t>& cells, const KvRowReader& read);

// Data of consecutive cells, plane by plane, as gatherCells gives it.
struct KvPiece {
  const uint8_t* data = nullptr;
  uint32_t cells = 0;
};

// A blob for one sequence: pieces in order of position, from position 0.
std::vector<uint8_t> assembleKvBlob(const KvLayout& layout, int32_t sequence, const std::vector<KvPiece>& pieces);

}  // namespace llamaestro
