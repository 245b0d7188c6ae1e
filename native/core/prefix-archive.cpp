#include "prefix-archive.h"

#include "prefix-file.h"

namespace llamaestro {

struct PrefixArchive::Request {
  PrefixFileKey key;
  std::function<bool()> cancelled;
};

PrefixArchive::Request PrefixArchive::begin(const CancelFlag& cancel) const {
  if (signal_.closing.load()) throw Failure(codes::kCancelled, "the engine is closing");
  if (!store_) throw Failure(codes::kInvalidRequest, "this model keeps no prefixes", "prefixCacheBytes");
  if (store_->format.blockBytes == 0) {
    throw Failure(codes::kInvalidRequest, "the prefixes of this kind of model stay in memory", "prefixCacheBytes");
  }
  const PrefixFileKey key{info_.fileBytes, sampleFile(info_.file, info_.fileBytes), info_.vocabSize, store_->format};
  return {key, [this, cancel] { return signal_.closing.load() || (cancel && cancel->load()); }};
}

PrefixFileSummary PrefixArchive::save(const std::string& file, const std::optional<PrefixTokens>& only,
                                      const CancelFlag& cancel) {
  const Request request = begin(cancel);
  PrefixEntries entries;
  {
    std::lock_guard<std::mutex> lock(store_->mutex);
    entries = only ? store_->tree.entriesOf(kNoAdapters, *only) : store_->tree.entries();
  }
  return writePrefixFile(file, request.key, entries, request.cancelled);
}

PrefixFileSummary PrefixArchive::restore(const std::string& file, const CancelFlag& cancel) {
  const Request request = begin(cancel);
  return adoptPrefixes(*store_, readPrefixFile(file, request.key, store_->tree.budgetBytes(), request.cancelled));
}

void PrefixArchive::count(EngineStats& stats) const {
  if (!store_) return;
  std::lock_guard<std::mutex> lock(store_->mutex);
  stats.prefixBlocks = store_->tree.blocks() + store_->snapshots.count();
  stats.prefixBytes = store_->tree.bytes() + store_->snapshots.bytes();
}

void PrefixArchive::clear() {
  if (!store_) return;
  std::lock_guard<std::mutex> lock(store_->mutex);
  store_->tree.clear();
  store_->snapshots.clear();
}

}  // namespace llamaestro
