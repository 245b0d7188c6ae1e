#include "counters.h"

#include <algorithm>
#include <chrono>
#include <mutex>

namespace llamaestro {
namespace {

struct List {
  std::mutex mutex;
  std::vector<std::weak_ptr<Counters>> entries;
};

// Leaked: the lifeline may read it while static destructors run.
List& list() {
  static List* instance = new List();
  return *instance;
}

}  // namespace

uint64_t monotonicMs() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(now).count());
}

EngineStats Counters::read() const {
  EngineStats stats;
  stats.steps = steps.load();
  stats.running = running.load();
  stats.waiting = waiting.load();
  stats.promptTokens = promptTokens.load();
  stats.generatedTokens = generatedTokens.load();
  stats.cachedTokens = cachedTokens.load();
  stats.inPlaceTokens = inPlaceTokens.load();
  stats.prefixHits = prefixHits.load();
  stats.parked = parked.load();
  stats.threads = threads.load();
  const uint64_t both = cells.load();
  stats.cellsCounted = static_cast<uint32_t>(both >> 32);
  stats.cellsRecounted = static_cast<uint32_t>(both);
  stats.cellsHeld = heldCells.load();
  const uint64_t since = busySinceMs.load();
  const uint64_t now = monotonicMs();
  stats.stalledMs = since == 0 || since > now ? 0 : static_cast<double>(now - since);
  return stats;
}

void Counters::noteCells(uint64_t counted, uint64_t recounted) {
  const uint64_t before = cells.load();
  if (before >> 32 == (before & UINT32_MAX)) cells.store(counted << 32 | (recounted & UINT32_MAX));
}

void listCounters(const std::shared_ptr<Counters>& counters) {
  List& all = list();
  std::lock_guard<std::mutex> lock(all.mutex);
  const auto gone = [](const std::weak_ptr<Counters>& entry) { return entry.expired(); };
  all.entries.erase(std::remove_if(all.entries.begin(), all.entries.end(), gone), all.entries.end());
  all.entries.push_back(counters);
}

std::vector<std::shared_ptr<Counters>> allCounters() {
  List& all = list();
  std::lock_guard<std::mutex> lock(all.mutex);
  std::vector<std::shared_ptr<Counters>> living;
  for (const auto& entry : all.entries) {
    if (std::shared_ptr<Counters> counters = entry.lock()) living.push_back(std::move(counters));
  }
  return living;
}

}  // namespace llamaestro
