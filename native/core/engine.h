// One loaded model with its context and its decode thread: the C++ twin of `Engine` in src/engine/engine.ts. The thread
// owns every llama.cpp call on the context; everybody else posts commands and drains events. Knows no JavaScript.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "error.h"
#include "events.h"
#include "info.h"
#include "options.h"

namespace llamaestro {

// Set from any thread to stop a load or a plan; shared by the caller and the loader.
using CancelFlag = std::shared_ptr<std::atomic<bool>>;

struct LoadHooks {
  // 0 ... 1, rising; from the loading thread, at most about 100 calls. May be empty.
  std::function<void(double)> onProgress;
  // May be null: then the load cannot be cancelled.
  CancelFlag cancel;
  // Called when events wait and no earlier call is pending (that is: at most once between two drains). Comes from the
  // decode thread, or from the thread that calls close; must not block, throw or call the engine, except `drain` from
  // another thread later. May be empty.
  std::function<void()> wake;
};

// Bytes per device before any is allocated. Blocks for 3 to 500 ms: not for an event loop. One simulation or load at a
// time per process. Errors: invalid_request, model_unusable, load_failed, cancelled.
Result<MemoryPlan> planMemory(const LoadOptions& options, CancelFlag cancel = nullptr);

class Engine {
 public:
  // Blocks until the model is loaded and the thread runs: call it on a thread of your own. Errors: invalid_request,
  // model_unusable, does_not_fit (details device, needBytes, freeBytes), out_of_memory, load_failed (last error
  // line of llama.cpp in the message), cancelled.
  static Result<std::shared_ptr<Engine>> load(const LoadOptions& options, LoadHooks hooks);

  // Closes first when that was not done; then blocks like `close`.
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Everything below is safe from any thread, and none of it blocks unless it says so.

  const EngineInfo& info() const;
  const MemoryPlan& planned() const;
  // Read from the buffers after the load and again whenever the engine goes idle; all zero after close. Without the
  // weights while another engine counts them.
  MemoryReport memory() const;
  EngineStats stats() const;

  // Checks, renders, tokenizes and queues; returns the sequence id (never 0, never used twice in an engine). Events
  // follow through drain(). With `choices` above 1 the others have the ids after it: their tokens follow when the
  // prompt of the first is done; until then they end with it. Blocks for the tokenizing only. Errors: invalid_request,
  // context_length_exceeded (details promptTokens, contextTokensPerSlot), queue_full, cancelled (engine closing).
  Result<uint32_t> submit(const SequenceRequest& request);

  // Ends a sequence or a job; idempotent, unknown ids are ignored. The Finished event or JobRow still follows.
  void cancel(uint32_t id);

  // Token ids of a prompt, exactly those that submit would use. Blocks for the tokenizing.
  Result<std::vector<uint32_t>> tokenize(const Prompt& prompt) const;
  // Text of the ids, special tokens rendered; bytes that are not UTF-8 become U+FFFD.
  Result<std::string> detokenize(const std::vector<double>& tokens) const;

  // Queue a job (ids share the space of sequence ids); the outcome is a JobRow. Errors at once: invalid_request (wrong
  // purpose, empty input), context_length_exceeded, queue_full, cancelled (engine closing).
  Result<uint32_t> embed(const std::vector<std::string>& inputs, const EmbedOptions& options = {});
  Result<uint32_t> rerank(const std::string& query, const std::vector<std::string>& documents,
                          const AdapterUses& lora = {});

  // Queues a job of a generating engine: a JobRow with the natural logarithm of each label's probability to follow the
  // prompt, normalised over the labels (see label-scorer.h). Waits and runs beside the sequences, as one of them.
  // Errors at once as submit.
  Result<uint32_t> classify(const Prompt& prompt, const std::vector<std::string>& labels, const AdapterUses& lora = {});

  // Writes the prompt prefixes that are kept, or those of one prompt, to a file that is replaced in one piece; reads
  // them back, beside what is there, up to the budget. Running sequences are not among them yet. Block for as long as
  // the disk takes. Errors: invalid_request (file: unwritable, unreadable, foreign or damaged, named in detail reason;
  // or this model keeps no prefixes), cancelled.
  Result<PrefixFileSummary> savePrefixes(const std::string& file, const std::optional<Prompt>& prompt,
                                         CancelFlag cancel = nullptr);
  Result<PrefixFileSummary> restorePrefixes(const std::string& file, CancelFlag cancel = nullptr);

  // Moves all events since the last call out and re-arms the wake. Works after close too: the last Finished events.
  EventBatch drain();

  // Starts the end: no new work, abort of the running graph. Returns at once; idempotent.
  void beginClose();
  // Ends every sequence and job (`cancelled`), joins the decode thread, frees model and context. Blocks up to one graph
  // node on the CPU or one step on a GPU; idempotent, a second caller waits for the first.
  void close();

 private:
  class Impl;
  explicit Engine(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace llamaestro
