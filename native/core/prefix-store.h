// Internal: the tree of prefixes as the decode thread and the threads that write and read prefix files share it.
#pragma once

#include <mutex>

#include "adapter-set.h"
#include "prefix-snapshots.h"
#include "prefix-tree.h"

namespace llamaestro {

// What two engines must have in common to exchange blocks, beside the model. No block bytes: whole states only.
struct PrefixFormat {
  uint32_t blockTokens = 0;
  uint64_t layout = 0;  // KvLayout::hash
  uint64_t blockBytes = 0;
  bool hasGenerated = false;  // blocks of answers may be among them, whose last bits are not those of a prompt
};

struct PrefixStore {
  PrefixStore(const PrefixFormat& itsFormat, uint64_t budgetBytes)
      : format(itsFormat), tree(itsFormat.blockTokens, budgetBytes), snapshots(budgetBytes) {}

  const PrefixFormat format;
  std::mutex mutex;           // of the tree; never held while bytes are copied
  PrefixTree tree;            // either this one is used
  PrefixSnapshots snapshots;  // or this one
};

}  // namespace llamaestro
