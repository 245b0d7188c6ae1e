#include "weights.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <sstream>

namespace llamaestro {

struct Weights::Entry {
  std::string key;
  ModelPtr model;
  std::vector<LoadedAdapter> adapters;  // which die with the model
  std::vector<Weights*> shares;         // oldest first; the first one is counted
};

// Never destroyed: engines may end while static destructors run.
struct Weights::Registry {
  std::mutex mutex;
  std::map<std::string, std::weak_ptr<Entry>> entries;

  // Holds the mutex.
  static std::shared_ptr<Weights> share(const std::shared_ptr<Entry>& entry) {
    std::shared_ptr<Weights> made(new Weights(entry));
    entry->shares.push_back(made.get());
    made->isCounted_->store(entry->shares.size() == 1);
    return made;
  }
};

Weights::Registry& Weights::registry() {
  static auto* instance = new Registry();
  return *instance;
}

std::shared_ptr<Weights> Weights::find(const std::string& key) {
  Registry& all = registry();
  std::lock_guard<std::mutex> lock(all.mutex);
  const auto found = all.entries.find(key);
  const std::shared_ptr<Entry> entry = found == all.entries.end() ? nullptr : found->second.lock();
  // Without shares the last one is just being freed.
  return entry && !entry->shares.empty() ? Registry::share(entry) : nullptr;
}

std::shared_ptr<Weights> Weights::keep(const std::string& key, ModelPtr model, std::vector<LoadedAdapter> adapters) {
  const auto entry = std::make_shared<Entry>();
  entry->key = key;
  entry->model = std::move(model);
  entry->adapters = std::move(adapters);
  Registry& all = registry();
  std::lock_guard<std::mutex> lock(all.mutex);
  if (!key.empty()) all.entries[key] = entry;
  return Registry::share(entry);
}

Weights::~Weights() {
  Registry& all = registry();
  std::lock_guard<std::mutex> lock(all.mutex);
  std::vector<Weights*>& shares = entry_->shares;
  shares.erase(std::remove(shares.begin(), shares.end(), this), shares.end());
  if (!shares.empty()) {
    shares.front()->isCounted_->store(true);
    return;
  }
  const auto known = all.entries.find(entry_->key);
  if (known != all.entries.end() && known->second.lock() == entry_) all.entries.erase(known);
}

llama_model* Weights::raw() const { return entry_->model.get(); }

const std::vector<LoadedAdapter>& Weights::adapters() const { return entry_->adapters; }

std::string weightsKey(const std::string& identity, uint64_t fileBytes, const llama_model_params& params) {
  std::ostringstream key;
  key << identity << fileBytes;
  key << '|' << params.n_gpu_layers << ' ' << params.split_mode << ' ' << params.main_gpu << ' ' << params.load_mode;
  key << ' ' << params.lazy_mode << ' ' << params.vocab_only << params.use_extra_bufts << params.no_host
      << params.load_mtp;
  key << "|devices";
  for (ggml_backend_dev_t* device = params.devices; device != nullptr && *device != nullptr; ++device) {
    key << ' ' << *device;
  }
  if (params.devices == nullptr) key << " all";
  key << "|split";
  for (size_t index = 0; params.tensor_split != nullptr && index < llama_max_devices(); ++index) {
    key << ' ' << params.tensor_split[index];
  }
  key << "|places";
  for (const auto* place = params.tensor_buft_overrides; place != nullptr && place->pattern != nullptr; ++place) {
    key << ' ' << place->pattern << '=' << place->buft;
  }
  return key.str();
}

}  // namespace llamaestro
