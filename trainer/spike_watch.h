#pragma once
// Watches the gradient norm: a step is a spike when its loss or norm is not finite, or the norm lies more than `sigma`
// deviations above the mean of the last 128 accepted steps (llm.c's and OLMo-core's rule). Plain state, saved in
// checkpoints, so that a resumed run decides as the uninterrupted one.
#include <cmath>
#include <vector>

namespace lathe {

class SpikeWatch {
 public:
  static constexpr std::size_t kWindow = 128, kWarmup = 64;
  SpikeWatch(double sigma, std::vector<double> window) : sigma_(sigma), window_(std::move(window)) {}

  bool is_spike(double loss, double norm) const {
    if (!std::isfinite(loss) || !std::isfinite(norm)) return true;
    if (window_.size() < kWarmup) return false;
    double mean = 0, square = 0;
    for (double value : window_) mean += value;
    mean /= static_cast<double>(window_.size());
    for (double value : window_) square += (value - mean) * (value - mean);
    const double deviation = std::sqrt(square / static_cast<double>(window_.size()));
    return norm > mean + sigma_ * std::max(deviation, 0.05 * mean);
  }
  void accept(double norm) {
    window_.push_back(norm);
    if (window_.size() > kWindow) window_.erase(window_.begin());
  }
  const std::vector<double>& window() const { return window_; }

 private:
  double sigma_;
  std::vector<double> window_;
};

}  // namespace lathe
