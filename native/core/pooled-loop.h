// Internal: the thread of an embedding or reranking engine: packs inputs of waiting jobs into ubatches, first come
// first served, and gives each job its rows when all are done. Knows no generation.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "adapter-set.h"
#include "loop.h"
#include "mailbox.h"

namespace llamaestro {

inline constexpr size_t kMaxJobInputs = 4096;

// One embed or rerank call. The thread owns everything but `cancelled` after the post.
struct PooledJob : Work {
  using Work::Work;
  std::vector<std::vector<llama_token>> inputs;
  size_t nextInput = 0;  // the first that is not in a batch yet
  size_t doneInputs = 0;
  bool normalises = true;              // of vectors
  std::optional<uint32_t> dimensions;  // kept of each vector; absent: all
  AdapterSet adapters;
  JobRow row;
};

// Token ids of each input, checked against what one input may have. Throws Failure invalid_request or
// context_length_exceeded (details: index, promptTokens, contextTokensPerSlot).
std::vector<std::vector<llama_token>> tokenizeInputs(const Model& model, const std::vector<std::string>& texts,
                                                     uint32_t maxTokens);
// The pairs a reranker reads: through the model's own template, or query and document with the vocabulary's separators.
std::vector<std::vector<llama_token>> tokenizePairs(const Model& model, const std::string& query,
                                                    const std::vector<std::string>& documents, uint32_t maxTokens);

class PooledLoop : public Loop {
 public:
  // `scores`: one raw number per input instead of a normalised vector.
  PooledLoop(LoopParts parts, bool scores);

  // False when the loop has ended. The caller counts waiting jobs.
  bool post(std::shared_ptr<PooledJob> job);

  void run() override;
  void nudge() override { mailbox_.nudge(); }

 private:
  using JobPtr = std::shared_ptr<PooledJob>;
  struct Place {
    JobPtr job;
    size_t input;
  };

  void turn();
  void takeJobs(bool wait);
  void endCancelled();
  std::vector<DecodeRow> pack(std::vector<Place>& places);
  void step();
  bool isThere(const JobPtr& job) const;
  void keep(const Place& place, llama_seq_id slot);
  void finish(const JobPtr& job, const std::optional<Error>& error);

  LoopParts parts_;
  const bool scores_;
  uint32_t width_;
  Mailbox<JobPtr> mailbox_;
  std::deque<JobPtr> jobs_;
};

}  // namespace llamaestro
