// Internal: loaded weights by what they were loaded from and how, so that several engines of the process, whichever
// environments they belong to, use one copy. An engine holds a share; the last one frees the model. Knows no contexts.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "adapters.h"
#include "llama-handles.h"

namespace llamaestro {

// One engine's share of loaded weights. Safe from any thread.
class Weights {
 public:
  // Another share of the weights that somebody holds under this key; null when nobody does.
  static std::shared_ptr<Weights> find(const std::string& key);
  // The first share of weights that were just loaded; with an empty key nobody else finds them. The caller holds the
  // LoadTurn.
  static std::shared_ptr<Weights> keep(const std::string& key, ModelPtr model, std::vector<LoadedAdapter> adapters);
  ~Weights();
  Weights(const Weights&) = delete;
  Weights& operator=(const Weights&) = delete;

  llama_model* raw() const;
  // Those that it was loaded with, in the order of the options.
  const std::vector<LoadedAdapter>& adapters() const;
  // True for exactly one share of each model: the one in whose memory its bytes are counted. It passes on to the next
  // oldest share when that engine ends.
  std::shared_ptr<const std::atomic<bool>> isCounted() const { return isCounted_; }

 private:
  struct Entry;
  struct Registry;
  explicit Weights(std::shared_ptr<Entry> entry) : entry_(std::move(entry)) {}
  static Registry& registry();

  std::shared_ptr<Entry> entry_;
  std::shared_ptr<std::atomic<bool>> isCounted_ = std::make_shared<std::atomic<bool>>(false);
};

// Which copy of a model a load with these parameters makes: its files and its adapters' (`identity`, see
// file-identity.h), and everything that decides where its tensors come to lie.
std::string weightsKey(const std::string& identity, uint64_t fileBytes, const llama_model_params& params);

}  // namespace llamaestro
