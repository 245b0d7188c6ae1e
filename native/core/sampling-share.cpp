#include "sampling-share.h"

#include <algorithm>
#include <numeric>

namespace llamaestro {

uint32_t samplingHelpers(const std::vector<double>& picksUs, uint32_t most, double worthUs) {
  if (picksUs.size() < 2) return 0;
  const double total = std::accumulate(picksUs.begin(), picksUs.end(), 0.0);
  // No more threads than the longest choice leaves something to do for.
  const double longest = *std::max_element(picksUs.begin(), picksUs.end());
  const double threads = total / std::max(worthUs, longest);
  const auto useful = static_cast<uint32_t>(std::min<double>(threads + 0.5, static_cast<double>(picksUs.size())));
  return std::min(most, useful > 0 ? useful - 1 : 0);
}

}  // namespace llamaestro
