#include "thinking.h"

#include <algorithm>
#include <climits>
#include <cmath>

#include "reasoning-budget.h"

namespace llamaestro {

void Thinking::Deleter::operator()(llama_sampler* sampler) const { llama_sampler_free(sampler); }

Thinking::Thinking(const llama_vocab* vocab, const ChatSyntax& syntax, const std::vector<llama_token>& before) {
  std::vector<llama_tokens> ends;
  for (const std::string& tag : syntax.thinkingEnds) ends.push_back(common_tokenize(vocab, tag, false, true));
  if (!ends.empty()) forcedTokens_ = ends.front();
  const uint32_t unlimited = INT_MAX;
  const auto budget = static_cast<int32_t>(std::min(unlimited, syntax.reasoningBudget.value_or(unlimited)));
  state_.reset(common_reasoning_budget_init(vocab, {common_tokenize(vocab, syntax.thinkingStart, false, true)}, ends,
                                            forcedTokens_, budget));
  for (const llama_token token : before) llama_sampler_accept(state_.get(), token);
}

Thinking::~Thinking() = default;
Thinking::Thinking(Thinking&&) noexcept = default;

bool Thinking::isUnderWay() const {
  const common_reasoning_budget_state state = common_reasoning_budget_get_state(state_.get());
  return state != REASONING_BUDGET_IDLE && state != REASONING_BUDGET_DONE;
}

// The state machine rules every other token out; it is asked about its own tokens alone.
llama_token Thinking::forced() const {
  if (common_reasoning_budget_get_state(state_.get()) != REASONING_BUDGET_FORCING) return LLAMA_TOKEN_NULL;
  std::vector<llama_token_data> candidates;
  for (const llama_token token : forcedTokens_) candidates.push_back({token, 0, 0});
  llama_token_data_array array{candidates.data(), candidates.size(), -1, false};
  llama_sampler_apply(state_.get(), &array);
  const auto isLeft = [](const llama_token_data& one) { return std::isfinite(one.logit); };
  const auto left = std::find_if(candidates.begin(), candidates.end(), isLeft);
  return left == candidates.end() ? LLAMA_TOKEN_NULL : left->id;
}

std::vector<llama_token> Thinking::accept(llama_token token) {
  const bool before = isUnderWay();
  llama_sampler_accept(state_.get(), token);
  if (!before || isUnderWay()) return {};
  const llama_tokens* end = common_reasoning_budget_get_end_match(state_.get());
  return end != nullptr ? *end : std::vector<llama_token>();
}

}  // namespace llamaestro
