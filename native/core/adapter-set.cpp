#include "adapter-set.h"

#include <algorithm>
#include <cstring>

#include "error.h"
#include "kv-block.h"
#include "numbers.h"

namespace llamaestro {
namespace {

std::string listed(const std::vector<std::string>& names) {
  std::string list;
  for (const std::string& name : names) list += (list.empty() ? "" : ", ") + name;
  return list.empty() ? "this model was loaded without adapters" : "there are " + list;
}

template <typename T>
void put(std::vector<uint8_t>& bytes, const T& value) {
  const auto* raw = reinterpret_cast<const uint8_t*>(&value);
  bytes.insert(bytes.end(), raw, raw + sizeof(value));
}

uint64_t spaceOf(const std::vector<std::pair<uint32_t, float>>& parts, const std::vector<uint64_t>& hashes) {
  if (parts.empty()) return kNoAdapters;
  std::vector<uint8_t> bytes;
  for (const auto& [index, scale] : parts) {
    put(bytes, hashes[index]);
    put(bytes, scale);
  }
  const uint64_t space = blockChecksum(bytes);
  return space == kNoAdapters ? kNoAdapters + 1 : space;
}

}  // namespace

AdapterSet resolveAdapters(const std::vector<AdapterUse>& uses, const std::vector<std::string>& names,
                           const std::vector<uint64_t>& hashes) {
  const auto refuse = [](const std::string& why) { throw Failure(codes::kInvalidRequest, why, "lora"); };
  if (uses.size() > kMaxAdaptersPerRequest) {
    refuse("lora takes at most " + std::to_string(kMaxAdaptersPerRequest) + " adapters");
  }
  AdapterSet set;
  std::vector<bool> named(names.size(), false);
  for (const AdapterUse& use : uses) {
    const auto found = std::find(names.begin(), names.end(), use.name);
    if (found == names.end()) refuse("there is no adapter '" + use.name + "': " + listed(names));
    const auto index = static_cast<uint32_t>(found - names.begin());
    if (named[index]) refuse("lora names the adapter '" + use.name + "' twice");
    named[index] = true;
    const double given = rangedNumber(use.scale, "lora", -kMaxAdapterScale, kMaxAdapterScale, 1);
    const auto scale = static_cast<float>(given);
    if (scale != 0) set.parts.emplace_back(index, scale);
  }
  std::sort(set.parts.begin(), set.parts.end());
  set.space = spaceOf(set.parts, hashes);
  return set;
}

}  // namespace llamaestro
