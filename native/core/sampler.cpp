#include "sampler.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "error.h"
#include "logit-scan.h"
#include "numbers.h"
#include "sampling.h"

namespace llamaestro {
namespace {

constexpr double kMaxSeed = 4294967295.0;
constexpr int32_t kMaxFastTopK = 1024;

// llama.cpp reads its default seed as "draw one"; a caller who asks for that very number wants the same tokens each
// time.
uint32_t fixedSeed(uint32_t seed) { return seed == LLAMA_DEFAULT_SEED ? seed - 1 : seed; }

// The best logit must be a number: softmax over anything else is garbage.
void requireFinite(float logit) {
  if (!std::isfinite(logit)) throw NotFinite();
}

float ranged(const Number& value, const char* field, double low, double high, float otherwise, bool openLow = false) {
  return static_cast<float>(rangedNumber(value, field, low, high, otherwise, openLow));
}

int32_t whole(const Number& value, const char* field, double high, int32_t otherwise) {
  const std::optional<uint32_t> given = wholeNumber(value, field, 0, high);
  return given ? static_cast<int32_t>(*given) : otherwise;
}

std::vector<std::string> checkBreakers(const std::vector<std::string>& breakers) {
  const auto isBad = [](const std::string& one) {
    return one.empty() || one.size() > kMaxSequenceBreakerBytes || one.find('\0') != std::string::npos;
  };
  if (breakers.size() > kMaxSequenceBreakers || std::any_of(breakers.begin(), breakers.end(), isBad)) {
    throw Failure(codes::kInvalidRequest,
                  "drySequenceBreakers takes at most " + std::to_string(kMaxSequenceBreakers) + " strings of 1 to " +
                      std::to_string(kMaxSequenceBreakerBytes) + " bytes",
                  "drySequenceBreakers");
  }
  return breakers;
}

std::vector<llama_logit_bias> checkBiases(const std::vector<double>& pairs, uint32_t vocabSize) {
  if (pairs.size() > size_t{2} * kMaxLogitBiases || pairs.size() % 2 != 0) {
    throw Failure(codes::kInvalidRequest, "logitBias takes at most " + std::to_string(kMaxLogitBiases) + " tokens",
                  "logitBias");
  }
  std::vector<llama_logit_bias> biases;
  for (size_t i = 0; i < pairs.size(); i += 2) {
    const uint32_t token = *wholeNumber(pairs[i], "logitBias", 0, vocabSize - 1.0);
    const float bias = ranged(pairs[i + 1], "logitBias", -100, 100, 0);
    biases.push_back({static_cast<llama_token>(token), bias});
  }
  return biases;
}

void resolveRepetition(const SequenceRequest& request, SamplingChoice& choice) {
  choice.repeatPenalty = ranged(request.repeatPenalty, "repeatPenalty", 0.01, 10, choice.repeatPenalty);
  choice.repeatLastN = whole(request.repeatLastN, "repeatLastN", kMaxPenaltyTokens, choice.repeatLastN);
  choice.frequencyPenalty = ranged(request.frequencyPenalty, "frequencyPenalty", -10, 10, choice.frequencyPenalty);
  choice.presencePenalty = ranged(request.presencePenalty, "presencePenalty", -10, 10, choice.presencePenalty);
  choice.dryMultiplier = ranged(request.dryMultiplier, "dryMultiplier", 0, 100, choice.dryMultiplier);
  choice.dryBase = ranged(request.dryBase, "dryBase", 1, 16, choice.dryBase);
  choice.dryAllowedLength = whole(request.dryAllowedLength, "dryAllowedLength", 1024, choice.dryAllowedLength);
  choice.dryPenaltyLastN = whole(request.dryPenaltyLastN, "dryPenaltyLastN", kMaxPenaltyTokens, choice.dryPenaltyLastN);
  if (request.drySequenceBreakers) choice.drySequenceBreakers = checkBreakers(*request.drySequenceBreakers);
}

void resolveDistribution(const SequenceRequest& request, SamplingChoice& choice) {
  choice.typicalP = ranged(request.typicalP, "typicalP", 0, 1, choice.typicalP, true);
  choice.xtcProbability = ranged(request.xtcProbability, "xtcProbability", 0, 1, choice.xtcProbability);
  choice.xtcThreshold = ranged(request.xtcThreshold, "xtcThreshold", 0, 1, choice.xtcThreshold);
  choice.mirostat = whole(request.mirostat, "mirostat", 2, choice.mirostat);
  choice.mirostatTau = ranged(request.mirostatTau, "mirostatTau", 0, 100, choice.mirostatTau);
  choice.mirostatEta = ranged(request.mirostatEta, "mirostatEta", 0, 1, choice.mirostatEta);
  choice.dynatempRange = ranged(request.dynatempRange, "dynatempRange", 0, 100, choice.dynatempRange);
  choice.dynatempExponent = ranged(request.dynatempExponent, "dynatempExponent", 0, 100, choice.dynatempExponent);
}

common_params_sampling toParams(const SamplingChoice& choice) {
  common_params_sampling params;
  params.temp = choice.temperature;
  params.top_k = choice.topK;
  params.top_p = choice.topP;
  params.min_p = choice.minP;
  params.seed = choice.seed;
  params.typ_p = choice.typicalP;
  params.penalty_repeat = choice.repeatPenalty;
  params.penalty_last_n = choice.repeatLastN;
  params.penalty_freq = choice.frequencyPenalty;
  params.penalty_present = choice.presencePenalty;
  params.dry_multiplier = choice.dryMultiplier;
  params.dry_base = choice.dryBase;
  params.dry_allowed_length = choice.dryAllowedLength;
  params.dry_penalty_last_n = choice.dryPenaltyLastN;
  params.dry_sequence_breakers = choice.drySequenceBreakers;
  params.xtc_probability = choice.xtcProbability;
  params.xtc_threshold = choice.xtcThreshold;
  params.mirostat = choice.mirostat;
  params.mirostat_tau = choice.mirostatTau;
  params.mirostat_eta = choice.mirostatEta;
  params.dynatemp_range = choice.dynatempRange;
  params.dynatemp_exponent = choice.dynatempExponent;
  params.logit_bias = choice.logitBias;
  params.no_perf = true;
  return params;
}

}  // namespace

bool SamplingChoice::penalizes() const {
  return repeatLastN > 0 && (repeatPenalty != 1 || frequencyPenalty != 0 || presencePenalty != 0);
}

bool SamplingChoice::breaksLoops() const { return dryMultiplier != 0 && dryPenaltyLastN > 0; }

bool SamplingChoice::needsAllCandidates() const {
  return penalizes() || breaksLoops() || mirostat != 0 || !logitBias.empty();
}

// Typical sampling and XTC drop the best token first.
bool SamplingChoice::isGreedy() const {
  return temperature <= 0 && dynatempRange <= 0 && typicalP >= 1 && xtcProbability <= 0;
}

SamplingChoice resolveSampling(const SequenceRequest& request, uint32_t vocabSize) {
  SamplingChoice choice;
  choice.temperature = ranged(request.temperature, "temperature", 0, 100, choice.temperature);
  choice.topK = whole(request.topK, "topK", vocabSize, choice.topK);
  choice.topP = ranged(request.topP, "topP", 0, 1, choice.topP, true);
  choice.minP = ranged(request.minP, "minP", 0, 1, choice.minP);
  const std::optional<uint32_t> seed = wholeNumber(request.seed, "seed", 0, kMaxSeed);
  choice.seed = fixedSeed(seed ? *seed : std::random_device{}());
  resolveRepetition(request, choice);
  resolveDistribution(request, choice);
  choice.logitBias = checkBiases(request.logitBias, vocabSize);
  return choice;
}

void Sampler::Deleter::operator()(common_sampler* sampler) const { common_sampler_free(sampler); }

Sampler::Sampler(const llama_model* model, const SamplingChoice& choice, Constraint constraint,
                 const std::vector<llama_token>& prompt)
    : constraint_(std::move(constraint)), choice_(choice) {
  const llama_vocab* vocab = llama_model_get_vocab(model);
  vocabSize_ = llama_vocab_n_tokens(vocab);
  int32_t suppressed = 0;
  llama_vocab_get_suppress_tokens(vocab, &suppressed);
  // The model may ban tokens: only the full path knows.
  needsAll_ = suppressed > 0 || choice.needsAllCandidates();
  common_params_sampling params = toParams(choice);
  sampler_.reset(common_sampler_init(model, params));
  const int32_t counted = std::max(choice.penalizes() ? choice.repeatLastN : 0,  //
                                   choice.breaksLoops() ? choice.dryPenaltyLastN : 0);
  const size_t skipped = prompt.size() - std::min(prompt.size(), static_cast<size_t>(counted));
  for (size_t i = skipped; i < prompt.size(); ++i) common_sampler_accept(sampler_.get(), prompt[i], false);
}

Sampler::~Sampler() = default;
Sampler::Sampler(Sampler&&) noexcept = default;

llama_token Sampler::accept(llama_token token, const float* logits) {
  requireFinite(logits[token]);
  const llama_token forced = constraint_.forced();
  if (forced != LLAMA_TOKEN_NULL) {
    token = forced;
  } else if (constraint_.binds() && !constraint_.grammar().allows(token)) {
    token = chooseAllowed(logits);
    if (token == LLAMA_TOKEN_NULL) return token;
  }
  constraint_.accept(token);
  common_sampler_accept(sampler_.get(), token, true);
  return token;
}

llama_token Sampler::chooseFrom(std::vector<llama_token_data>& candidates, bool sorted) {
  llama_token_data_array array{candidates.data(), candidates.size(), -1, sorted};
  llama_sampler_apply(common_sampler_get(sampler_.get()), &array);
  if (array.selected < 0 || static_cast<size_t>(array.selected) >= array.size) {
    throw Failure(codes::kInternal, "no token could be chosen");
  }
  return array.data[array.selected].id;
}

llama_token Sampler::choose(const float* logits) {
  if (!needsAll_ && choice_.isGreedy()) return bestToken(logits, vocabSize_);
  if (!needsAll_ && choice_.topK > 0 && choice_.topK <= kMaxFastTopK) {
    selectTop(logits, vocabSize_, choice_.topK, candidates_);
    requireFinite(candidates_.front().logit);
    return chooseFrom(candidates_, true);
  }
  return chooseSlowly(logits);
}

llama_token Sampler::chooseSlowly(const float* logits) {
  fillCandidates(logits);
  return chooseFrom(candidates_, false);
}

void Sampler::fillCandidates(const float* logits) {
  candidates_.resize(static_cast<size_t>(vocabSize_));
  float best = -INFINITY;
  for (llama_token id = 0; id < vocabSize_; ++id) {
    candidates_[static_cast<size_t>(id)] = {id, logits[id], 0.0f};
    // A not-a-number wins and stays: it must not reach the samplers, which assert on what follows from it.
    if (!(logits[id] <= best)) best = logits[id];
    if (std::isnan(best)) break;
  }
  requireFinite(best);
}

// The second draw, as common_sampler_sample makes it: among the tokens that the grammar allows. Those that it does not
// allow are left out and not kept at -infinity: some samplers divide by the probabilities.
llama_token Sampler::chooseAllowed(const float* logits) {
  fillCandidates(logits);
  llama_token_data_array all{candidates_.data(), candidates_.size(), -1, false};
  constraint_.grammar().apply(all);
  const auto isOut = [](const llama_token_data& one) { return !std::isfinite(one.logit); };
  candidates_.erase(std::remove_if(candidates_.begin(), candidates_.end(), isOut), candidates_.end());
  if (!candidates_.empty()) return chooseFrom(candidates_, false);
  if (constraint_.grammar().mayEnd()) return LLAMA_TOKEN_NULL;
  throw Failure(codes::kInvalidRequest, "the grammar asks for characters that no token of this model has", "grammar");
}

llama_token Sampler::pick(const float* logits) { return accept(choose(logits), logits); }

llama_token Sampler::pickSlowly(const float* logits) { return accept(chooseSlowly(logits), logits); }

}  // namespace llamaestro
