#include "step-threads.h"

#include <algorithm>

#include "decoder.h"
#include "llama-context.h"

namespace llamaestro {
namespace {

// Cells are read in steps of 256; from 512 on, one query's are shared out to the threads.
constexpr uint32_t kUndividedCells = 256;

// Without flash attention, and with a quantised cache, each row of the result is one thread's.
uint32_t lonelyTokensOf(const llama_context* context) {
  const llama_cparams& params = context->get_cparams();
  if (!params.flash_attn) return UINT32_MAX;
  return params.kv_unified ? 0 : kUndividedCells;
}

}  // namespace

StepThreads::StepThreads(llama_context* context, bool governs, Counters& counters)
    : context_(context),
      most_(static_cast<uint32_t>(std::max(1, llama_n_threads(context)))),
      governs_(governs),
      lonelyTokens_(lonelyTokensOf(context)),
      counters_(counters),
      governor_(most_),
      inUse_(most_) {
  counters_.threads.store(most_);
}

bool StepThreads::mayVary(const std::vector<DecodeRow>& rows) const {
  const auto isLong = [](const DecodeRow& row) { return row.tokens.size() != 1 || row.wantsAll; };
  if (!governs_ || std::any_of(rows.begin(), rows.end(), isLong)) return false;
  return rows.size() > 1 || static_cast<uint32_t>(rows.front().firstPosition) < lonelyTokens_;
}

void StepThreads::begin(const std::vector<DecodeRow>& rows) {
  const bool varies = mayVary(rows);
  rows_ = varies ? static_cast<uint32_t>(rows.size()) : 0;
  use(varies ? governor_.threads(rows_) : most_);
  beganAt_ = std::chrono::steady_clock::now();
}

void StepThreads::end() {
  if (rows_ == 0) return;
  const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - beganAt_;
  governor_.took(rows_, took.count());
}

void StepThreads::use(uint32_t threads) {
  if (threads == inUse_) return;
  inUse_ = threads;
  counters_.threads.store(threads);
  llama_set_n_threads(context_, static_cast<int32_t>(threads), static_cast<int32_t>(threads));
}

}  // namespace llamaestro
