// Internal: an engine's prefixes seen from outside its decode thread: counted, written to a file, read back, dropped.
// Safe from any thread.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "engine.h"
#include "info.h"
#include "prefix-store.h"
#include "work.h"

namespace llamaestro {

class PrefixArchive {
 public:
  // `store` may be null: nothing is kept. `info` and `signal` outlive this.
  PrefixArchive(std::shared_ptr<PrefixStore> store, const EngineInfo& info, const StopSignal& signal)
      : store_(std::move(store)), info_(info), signal_(signal) {}

  // Block for as long as the disk takes, with no lock held: blocks are immutable and shared. `only`: those of this
  // prompt. Throw Failure as Engine::savePrefixes says.
  PrefixFileSummary save(const std::string& file, const std::optional<PrefixTokens>& only, const CancelFlag& cancel);
  PrefixFileSummary restore(const std::string& file, const CancelFlag& cancel);

  void count(EngineStats& stats) const;
  void clear();

 private:
  struct Request;
  Request begin(const CancelFlag& cancel) const;

  std::shared_ptr<PrefixStore> store_;
  const EngineInfo& info_;
  const StopSignal& signal_;
};

}  // namespace llamaestro
