#include "label-scorer.h"

#include <algorithm>
#include <cmath>

#include "error.h"
#include "logit-scan.h"

namespace llamaestro {
namespace {

// Least chance that is told apart from none: logarithms stay finite.
constexpr double kLeastChance = 1e-30;

}  // namespace

LabelScorer::LabelScorer(const std::vector<std::vector<llama_token>>& labels) : logprobs_(labels.size(), 0) {
  nodes_.emplace_back();
  for (uint32_t label = 0; label < labels.size(); ++label) {
    uint32_t at = 0;
    ++nodes_[0].labels;
    for (const llama_token token : labels[label]) {
      const auto found = nodes_[at].children.find(token);
      uint32_t next = 0;
      if (found != nodes_[at].children.end()) {
        next = found->second;
      } else {
        next = static_cast<uint32_t>(nodes_.size());
        nodes_[at].children[token] = next;
        nodes_.emplace_back();
        nodes_[next].depth = nodes_[at].depth + 1;
        nodes_[next].before = at;
        nodes_[next].token = token;
      }
      at = next;
      ++nodes_[at].labels;
      nodes_[at].any = label;
    }
    nodes_[at].label = label;
  }
  for (const Node& node : nodes_) {
    if (node.labels > 1) deepest_ = std::max(deepest_, node.depth);
  }
  open_.push_back(0);
}

std::optional<LabelScorer::Step> LabelScorer::take(const float* logits, int32_t vocabSize) {
  const Node node = nodes_[open_.back()];
  open_.pop_back();
  const double total = logSumExp(logits, vocabSize);
  if (!std::isfinite(total)) throw NotFinite();
  double goesOn = 0;
  for (const auto& [token, index] : node.children) {
    Node& child = nodes_[index];
    const double logprob = std::max(logits[token] - total, std::log(kLeastChance));
    goesOn += std::exp(logprob);
    child.logprob = node.logprob + logprob;
    if (child.labels > 1) {
      open_.push_back(index);
    } else {
      logprobs_[child.any] = child.logprob;
    }
  }
  if (node.label) logprobs_[*node.label] = node.logprob + std::log(std::max(1 - goesOn, kLeastChance));
  if (open_.empty()) return std::nullopt;
  const Node& next = nodes_[open_.back()];
  Step step{next.token, next.depth, {}};
  for (uint32_t at = open_.back(); at != 0; at = nodes_[at].before) step.way.insert(step.way.begin(), nodes_[at].token);
  return step;
}

bool LabelScorer::goesBack() const {
  return std::any_of(nodes_.begin(), nodes_.end(), [this](const Node& node) {
    const auto isLookedAt = [this](const auto& child) { return nodes_[child.second].labels > 1; };
    return std::count_if(node.children.begin(), node.children.end(), isLookedAt) > 1;
  });
}

std::vector<float> LabelScorer::scores() const {
  const double best = *std::max_element(logprobs_.begin(), logprobs_.end());
  double sum = 0;
  for (const double logprob : logprobs_) sum += std::exp(logprob - best);
  std::vector<float> scores;
  for (const double logprob : logprobs_) scores.push_back(static_cast<float>(logprob - best - std::log(sum)));
  return scores;
}

}  // namespace llamaestro
