#include "cell-books.h"

#include "llama-kv-cache-iswa.h"
#include "llama-kv-cache.h"
#include "llama-memory-hybrid-iswa.h"
#include "llama-memory-hybrid.h"

namespace llamaestro {
namespace {

const llama_kv_cache* cellsOf(const llama_memory_i* memory) {
  if (const auto* plain = dynamic_cast<const llama_kv_cache*>(memory)) return plain;
  if (const auto* window = dynamic_cast<const llama_kv_cache_iswa*>(memory)) return window->get_base();
  if (const auto* hybrid = dynamic_cast<const llama_memory_hybrid*>(memory)) return hybrid->get_mem_attn();
  if (const auto* both = dynamic_cast<const llama_memory_hybrid_iswa*>(memory)) return both->get_mem_attn()->get_base();
  return nullptr;
}

}  // namespace

CellBooks::CellBooks(llama_context* context, uint32_t slots)
    : memory_(llama_get_memory(context)), cells_(cellsOf(memory_)), slots_(slots) {}

uint64_t CellBooks::recount() const {
  uint64_t sum = 0;
  if (cells_ != nullptr) {
    for (uint32_t stream = 0; stream < cells_->get_n_stream(); ++stream) {
      sum += cells_->get_cells(static_cast<llama_seq_id>(stream)).get_used();
    }
    return sum;
  }
  if (memory_ == nullptr) return 0;
  for (uint32_t slot = 0; slot < slots_; ++slot) {
    sum += static_cast<uint64_t>(llama_memory_seq_pos_max(memory_, static_cast<llama_seq_id>(slot)) + 1);
  }
  return sum;
}

}  // namespace llamaestro
