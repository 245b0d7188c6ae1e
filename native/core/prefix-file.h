// Internal: prefixes in a file, so that they outlive an engine. Our own format: a header that says which model and
// which kind of cache the blocks belong to, then one record per block, parents first, all under checksums. Knows no
// context.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "info.h"
#include "prefix-store.h"

namespace llamaestro {

// A file belongs to exactly one of these.
struct PrefixFileKey {
  uint64_t modelBytes = 0;
  uint64_t modelHash = 0;
  uint32_t vocabSize = 0;
  PrefixFormat format;
};

// 64 bits over samples of a file's bytes, its beginning among them: tells models apart, reads a megabyte. Throws
// Failure model_unusable when it cannot be read.
uint64_t sampleFile(const std::string& path, uint64_t fileBytes);

using PrefixEntries = std::vector<PrefixTree::Entry>;

// Writes a file beside `path` and renames it; on a failure nothing is left of it. `cancelled` is asked between blocks.
// Throws Failure invalid_request (param file: it cannot be written) or cancelled.
PrefixFileSummary writePrefixFile(const std::string& path, const PrefixFileKey& key, const PrefixEntries& entries,
                                  const std::function<bool()>& cancelled);

// Reads blocks up to `budgetBytes` in the order of the file. Throws Failure invalid_request (param file; detail reason
// is unreadable, foreign or damaged) or cancelled.
PrefixEntries readPrefixFile(const std::string& path, const PrefixFileKey& key, uint64_t budgetBytes,
                             const std::function<bool()>& cancelled);

// Adds what fits into the budget without evicting anything; returns what is new.
PrefixFileSummary adoptPrefixes(PrefixStore& store, const PrefixEntries& entries);

}  // namespace llamaestro
