#include "pooled-loop.h"

#include <algorithm>
#include <cmath>

#include "insist.h"
#include "log-hub.h"

namespace llamaestro {
namespace {

void append(std::vector<llama_token>& to, const std::vector<llama_token>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

void checkLength(size_t tokens, size_t index, uint32_t maxTokens, const char* field) {
  if (tokens == 0) {
    throw Failure(codes::kInvalidRequest, "input " + std::to_string(index) + " has no tokens", field,
                  {{"index", static_cast<double>(index)}});
  }
  if (tokens <= maxTokens) return;
  throw Failure(codes::kContextLengthExceeded,
                "input " + std::to_string(index) + " has " + std::to_string(tokens) + " tokens and this model takes " +
                    std::to_string(maxTokens),
                field,
                {{"index", static_cast<double>(index)},
                 {"promptTokens", static_cast<double>(tokens)},
                 {"contextTokensPerSlot", static_cast<double>(maxTokens)}});
}

void checkCount(size_t count, const char* field) {
  if (count == 0 || count > kMaxJobInputs) {
    throw Failure(codes::kInvalidRequest,
                  std::string(field) + " takes 1 to " + std::to_string(kMaxJobInputs) + " texts", field);
  }
}

std::string replaceAll(std::string text, const std::string& from, const std::string& to) {
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
  return text;
}

void normalise(float* vector, size_t length) {
  double sum = 0;
  for (size_t i = 0; i < length; ++i) sum += static_cast<double>(vector[i]) * vector[i];
  if (sum <= 0) return;
  const auto scale = static_cast<float>(1.0 / std::sqrt(sum));
  for (size_t i = 0; i < length; ++i) vector[i] *= scale;
}

}  // namespace

std::vector<std::vector<llama_token>> tokenizeInputs(const Model& model, const std::vector<std::string>& texts,
                                                     uint32_t maxTokens) {
  checkCount(texts.size(), "inputs");
  std::vector<std::vector<llama_token>> inputs;
  for (const std::string& text : texts) {
    inputs.push_back(model.tokenizeText(text, true, false));
    checkLength(inputs.back().size(), inputs.size() - 1, maxTokens, "inputs");
  }
  return inputs;
}

std::vector<std::vector<llama_token>> tokenizePairs(const Model& model, const std::string& query,
                                                    const std::vector<std::string>& documents, uint32_t maxTokens) {
  checkCount(documents.size(), "documents");
  const llama_vocab* vocab = model.vocab();
  const char* pattern = llama_model_chat_template(model.raw(), "rerank");
  const llama_token end = llama_vocab_eos(vocab) != LLAMA_TOKEN_NULL ? llama_vocab_eos(vocab) : llama_vocab_sep(vocab);
  std::vector<llama_token> head;
  if (llama_vocab_get_add_bos(vocab)) head.push_back(llama_vocab_bos(vocab));
  append(head, model.tokenizeText(query, false, false));
  if (llama_vocab_get_add_eos(vocab)) head.push_back(end);
  if (llama_vocab_get_add_sep(vocab)) head.push_back(llama_vocab_sep(vocab));
  std::vector<std::vector<llama_token>> pairs;
  for (const std::string& document : documents) {
    if (pattern != nullptr) {
      const std::string text = replaceAll(replaceAll(pattern, "{query}", query), "{document}", document);
      pairs.push_back(model.tokenizeText(text, false, true));
    } else {
      pairs.push_back(head);
      append(pairs.back(), model.tokenizeText(document, false, false));
      if (llama_vocab_get_add_eos(vocab)) pairs.back().push_back(end);
    }
    checkLength(pairs.back().size(), pairs.size() - 1, maxTokens, "documents");
  }
  return pairs;
}

PooledLoop::PooledLoop(LoopParts parts, bool scores)
    : parts_(std::move(parts)),
      scores_(scores),
      width_(scores ? 1 : static_cast<uint32_t>(llama_model_n_embd_out(parts_.model.raw()))),
      mailbox_(kMaxWaitingSequences + 1) {}

bool PooledLoop::post(std::shared_ptr<PooledJob> job) {
  return mailbox_.post(std::move(job)) == Mailbox<JobPtr>::Post::Taken;
}

void PooledLoop::run() {
  while (!parts_.signal.closing.load()) {
    try {
      turn();
    } catch (...) {
      const Error error = currentError();
      while (!jobs_.empty()) finish(JobPtr(jobs_.front()), error);
      insist([this] { parts_.sink.publish(); });
    }
  }
  mailbox_.close();
  insist([this] { takeJobs(false); });
  while (!jobs_.empty()) finish(JobPtr(jobs_.front()), Error{codes::kCancelled, "engine closed", {}, {}});
  parts_.counters.busySinceMs.store(0);
  insist([this] { parts_.sink.publish(); });
}

void PooledLoop::turn() {
  if (jobs_.empty()) {
    parts_.counters.busySinceMs.store(0);
    parts_.onIdle();
  }
  takeJobs(jobs_.empty());
  endCancelled();
  if (!jobs_.empty()) step();
  parts_.sink.publish();
}

void PooledLoop::takeJobs(bool wait) {
  for (const JobPtr& job : mailbox_.take(wait && !parts_.signal.closing.load())) {
    if (jobs_.empty()) parts_.counters.busySinceMs.store(monotonicMs());
    insist([&] { jobs_.push_back(job); });
    try {
      job->row.job = job->id;
      job->row.width = job->dimensions.value_or(width_);
      job->row.values.resize(job->inputs.size() * job->row.width);
    } catch (...) {
      finish(JobPtr(job), currentError());
    }
  }
}

void PooledLoop::endCancelled() {
  for (const JobPtr& job : std::deque<JobPtr>(jobs_)) {
    if (job->cancelled.load()) finish(job, Error{codes::kCancelled, "the job was cancelled", {}, {}});
  }
}

// Inputs in order of jobs until the ubatch or its sequences are full; all of the adapter set that is first in line.
std::vector<DecodeRow> PooledLoop::pack(std::vector<Place>& places) {
  std::vector<DecodeRow> rows;
  size_t tokens = 0;
  for (const JobPtr& job : jobs_) {
    if (job->adapters.space != jobs_.front()->adapters.space) continue;
    for (size_t input = job->nextInput; input < job->inputs.size(); ++input) {
      const std::vector<llama_token>& ids = job->inputs[input];
      if (rows.size() == parts_.shape.sequences || tokens + ids.size() > parts_.shape.batchTokens) return rows;
      DecodeRow row;
      row.work = job.get();
      row.slot = static_cast<llama_seq_id>(rows.size());
      row.tokens = ids;
      row.wantsAll = true;
      tokens += ids.size();
      rows.push_back(std::move(row));
      places.push_back({job, input});
    }
  }
  return rows;
}

void PooledLoop::step() {
  std::vector<Place> places;
  std::vector<DecodeRow> rows = pack(places);
  parts_.counters.running.store(static_cast<uint32_t>(rows.size()));
  parts_.model.adapters().apply(parts_.context, jobs_.front()->adapters);
  const uint64_t logBefore = newestLogNumber();
  const Decoder::Outcome outcome = parts_.decoder.decode(rows);
  parts_.counters.running.store(0);
  bool isSpoiled = outcome != Decoder::Outcome::Done;  // nobody has looked at what was computed
  if (outcome == Decoder::Outcome::Done) {
    for (size_t i = 0; i < places.size(); ++i) {
      places[i].job->nextInput = places[i].input + 1;
      parts_.counters.promptTokens.fetch_add(rows[i].tokens.size());
      if (!isThere(places[i].job)) continue;
      try {
        keep(places[i], rows[i].slot);
      } catch (...) {
        finish(places[i].job, currentError());  // its neighbours have their own numbers
        isSpoiled = true;
      }
    }
  }
  if (llama_memory_t memory = llama_get_memory(parts_.context)) llama_memory_clear(memory, isSpoiled);
  for (const Place& place : places) {
    if (!isThere(place.job)) continue;
    if (outcome == Decoder::Outcome::Failed || outcome == Decoder::Outcome::NoRoom) {
      finish(place.job,
             Error{codes::kInternal, "llama.cpp could not compute this batch: " + lastErrorLine(logBefore), {}, {}});
    } else if (place.job->doneInputs == place.job->inputs.size()) {
      finish(place.job, std::nullopt);
    }
  }
}

bool PooledLoop::isThere(const JobPtr& job) const { return std::find(jobs_.begin(), jobs_.end(), job) != jobs_.end(); }

void PooledLoop::keep(const Place& place, llama_seq_id slot) {
  const uint32_t width = place.job->row.width;
  float* to = place.job->row.values.data() + place.input * width;
  const float* from = llama_get_embeddings_seq(parts_.context, slot);
  if (from == nullptr) throw Failure(codes::kInternal, "llama.cpp gave no embedding");
  std::copy(from, from + width, to);
  if (!std::all_of(to, to + width, [](float value) { return std::isfinite(value); })) {
    throw Failure(codes::kInternal, "the model computed a number that is not finite");
  }
  if (!scores_ && place.job->normalises) normalise(to, width);
  ++place.job->doneInputs;
}

void PooledLoop::finish(const JobPtr& job, const std::optional<Error>& error) {
  const auto found = std::find(jobs_.begin(), jobs_.end(), job);
  if (found != jobs_.end()) jobs_.erase(found);
  parts_.counters.waiting.fetch_sub(1);
  parts_.works.remove(job->id);
  if (error) {
    job->row.values.clear();
    insist([&] { job->row.error = error; });
  }
  insist([&] { parts_.sink.job(std::move(job->row)); });
}

}  // namespace llamaestro
