// Internal and pure: how many threads a step of single tokens gets on a machine that others use too. Where a thread
// waits for its core, all others wait for it at the end of every operation; fewer may be faster then. Tries that out
// and keeps what was faster. Fed with what steps took; knows no clock, no threads and no llama.cpp.
#pragma once

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

namespace llamaestro {

class ThreadGovernor {
 public:
  // Steps whose mean counts as "now", and of one trial.
  static constexpr uint32_t kWindow = 16, kTrial = 8;
  // Steps between two trials: doubled by each that has changed nothing.
  static constexpr uint32_t kShortestPause = 64, kLongestPause = 1024;
  // Steps this much longer than the best known ones look contended; what a trial must come down to, to be kept.
  static constexpr double kContended = 1.5, kWorthIt = 0.93;

  explicit ThreadGovernor(uint32_t most) : most_(most), settled_(most) {}

  // Threads of the next step of `rows` sequences, from 1 to `most`: all of them while steps of that size are not known.
  uint32_t threads(uint32_t rows) const;

  // A step of `rows` sequences, one token each, took so long with threads(rows).
  void took(uint32_t rows, double microseconds);

 private:
  // Steps of similar size are compared with one another: 1, 2, 3 to 4, 5 to 8 ... rows.
  struct Size {
    std::vector<double> recent;  // with all threads
    double best = 0;             // 0: not known yet
  };
  struct Trial {
    uint32_t threads = 0;  // 0: none under way
    double before = 0;     // a mean step with settled_
    std::vector<double> ratios;
  };

  void learn(Size& size, double microseconds);
  void settle(double ratio);
  void tryOut(double ratio);

  const uint32_t most_;
  uint32_t settled_;
  std::map<uint32_t, Size> sizes_;
  std::vector<double> window_;  // newest steps with settled_, as multiples of the best of their size
  Trial trial_;
  double known_ = 0;  // a mean step after the last trial; 0: there was none
  uint32_t pause_ = kShortestPause;
  uint32_t waited_ = 0;    // steps since the last trial
  bool fellLast_ = false;  // fewer were faster just now
};

}  // namespace llamaestro
