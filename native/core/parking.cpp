#include "parking.h"

#include "error.h"
#include "kv-blocks.h"
#include "llama-context.h"

namespace llamaestro {

std::shared_ptr<const ParkedState> copyOut(llama_context* context, llama_seq_id from) {
  auto state = std::make_shared<ParkedState>();
  state->bytes.resize(llama_state_seq_get_size(context, from));
  const size_t got = llama_state_seq_get_data(context, state->bytes.data(), state->bytes.size(), from);
  if (got == 0 || got != state->bytes.size()) throw Failure(codes::kInternal, "a sequence could not be put aside");
  state->checksum = blockChecksum(state->bytes);
  return state;
}

bool copyIn(llama_context* context, llama_seq_id to, const ParkedState& state) {
  if (blockChecksum(state.bytes) != state.checksum) {
    throw Failure(codes::kInternal, "what was put aside of a sequence is damaged");
  }
  if (llama_state_seq_set_data(context, state.bytes.data(), state.bytes.size(), to) == state.bytes.size()) return true;
  llama_memory_seq_rm(llama_get_memory(context), to, -1, -1);
  return false;
}

void copyAcross(llama_context* context, llama_seq_id from, const std::vector<llama_seq_id>& to) {
  for (llama_seq_id target : to) llama_memory_seq_cp(llama_get_memory(context), from, target, -1, -1);
  context->memory_update(false);
}

}  // namespace llamaestro
