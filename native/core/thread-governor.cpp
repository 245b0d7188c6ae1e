#include "thread-governor.h"

#include <algorithm>
#include <cstddef>
#include <numeric>

namespace llamaestro {
namespace {

// A context that grows makes steps longer: what was best is believed a little less with every window.
constexpr double kAgeing = 1.02;
// A mean so far from the one after the last trial: the machine's other work has changed.
constexpr double kChanged = 0.75;

uint32_t sizeOf(uint32_t rows) {
  uint32_t size = 0;
  while (size < 31 && (1u << size) < rows) ++size;
  return size;
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// A single step that was held up says nothing.
double meanWithoutWorst(const std::vector<double>& values) {
  const double sum = std::accumulate(values.begin(), values.end(), 0.0);
  return (sum - *std::max_element(values.begin(), values.end())) / static_cast<double>(values.size() - 1);
}

}  // namespace

uint32_t ThreadGovernor::threads(uint32_t rows) const {
  const auto size = sizes_.find(sizeOf(rows));
  if (size == sizes_.end() || size->second.best <= 0) return most_;
  return trial_.threads > 0 ? trial_.threads : settled_;
}

void ThreadGovernor::took(uint32_t rows, double microseconds) {
  if (most_ < 2 || !(microseconds > 0)) return;
  Size& size = sizes_[sizeOf(rows)];
  const bool isKnown = size.best > 0;
  if (threads(rows) == most_) learn(size, microseconds);
  if (!isKnown) return;
  const double ratio = microseconds / size.best;
  if (trial_.threads > 0) {
    tryOut(ratio);
  } else {
    settle(ratio);
  }
}

void ThreadGovernor::learn(Size& size, double microseconds) {
  size.recent.push_back(microseconds);
  if (size.recent.size() < kWindow) return;
  const double now = median(std::exchange(size.recent, {}));
  size.best = size.best > 0 ? std::min(now, kAgeing * size.best) : now;
}

void ThreadGovernor::settle(double ratio) {
  if (window_.size() == kWindow) window_.erase(window_.begin());
  window_.push_back(ratio);
  ++waited_;
  if (window_.size() < kWindow) return;
  const double now = meanWithoutWorst(window_);
  const bool isBetter = now < kChanged * known_;
  const bool isWorse = known_ > 0 && kChanged * now > known_;
  if (isBetter || isWorse) pause_ = std::min(pause_, kShortestPause);
  if (waited_ < pause_) return;
  const bool isSlow = settled_ == most_ ? now > kContended : isWorse;
  if (settled_ > 1 && (isSlow || fellLast_)) {
    trial_ = {settled_ / 2, now, {}};
  } else if (settled_ < most_) {
    trial_ = {std::min(2 * settled_, most_), now, {}};
  }
}

void ThreadGovernor::tryOut(double ratio) {
  trial_.ratios.push_back(ratio);
  // Over as soon as it has cost what the whole of it was to take.
  const bool isLost = std::accumulate(trial_.ratios.begin(), trial_.ratios.end(), 0.0) > kTrial * trial_.before;
  if (!isLost && trial_.ratios.size() < kTrial) return;
  const bool fell = trial_.threads < settled_;
  const double now = isLost ? 0 : meanWithoutWorst(trial_.ratios);
  const bool isFaster = !isLost && now < kWorthIt * trial_.before;
  if (isFaster) {
    settled_ = trial_.threads;
    window_.clear();
    pause_ = kWindow;  // perhaps further on in this direction
  } else {
    pause_ = std::clamp(2 * pause_, kShortestPause, kLongestPause);
  }
  known_ = isFaster ? now : trial_.before;
  fellLast_ = fell && isFaster;
  waited_ = 0;
  trial_ = {};
}

}  // namespace llamaestro
