// Internal: owner of a llama_batch with room for a fixed number of tokens, one sequence id each.
#pragma once

#include <cstdint>

#include "llama.h"

namespace llamaestro {

class Batch {
 public:
  explicit Batch(uint32_t capacity)
      : batch_(llama_batch_init(static_cast<int32_t>(capacity), 0, 1)), capacity_(capacity) {}
  ~Batch() { llama_batch_free(batch_); }
  Batch(const Batch&) = delete;
  Batch& operator=(const Batch&) = delete;

  void clear() { batch_.n_tokens = 0; }
  uint32_t size() const { return static_cast<uint32_t>(batch_.n_tokens); }
  uint32_t room() const { return capacity_ - size(); }

  // Adds one token and returns its index, the one llama_get_logits_ith takes. There must be room.
  int32_t add(llama_token token, llama_pos position, llama_seq_id sequence, bool wantsOutput) {
    const int32_t at = batch_.n_tokens++;
    batch_.token[at] = token;
    batch_.pos[at] = position;
    batch_.n_seq_id[at] = 1;
    batch_.seq_id[at][0] = sequence;
    batch_.logits[at] = wantsOutput ? 1 : 0;
    return at;
  }

  const llama_batch& raw() const { return batch_; }

 private:
  llama_batch batch_;
  uint32_t capacity_;
};

}  // namespace llamaestro
