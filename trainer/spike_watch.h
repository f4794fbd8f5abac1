#pragma once
// Watches the gradient norm: a step is a spike when its loss or norm is not finite, or the logarithm of the
// norm lies more than `sigma` deviations above the median of the last 128 steps. Norms of healthy training
// spread like a log-normal, drift by factors over a run and narrow as it goes on, so their mean and standard
// deviation call healthy steps spikes; on logarithms the spread is estimated by the median absolute deviation
// (Hampel 1974), which outliers do not move, and never taken as less than kLeastSpread: at 6 deviations a
// spike is at least eleven times the median. Plain state, saved in checkpoints, so that a resumed run decides
// as the uninterrupted one.
#include <algorithm>
#include <cmath>
#include <vector>

namespace lathe {

class SpikeWatch {
 public:
  static constexpr std::size_t kWindow = 128, kWarmup = 64;
  static constexpr double kLeastSpread = 0.4;
  SpikeWatch(double sigma, std::vector<double> window) : sigma_(sigma), window_(std::move(window)) {}

  bool is_spike(double loss, double norm) const {
    if (!std::isfinite(loss) || !std::isfinite(norm)) return true;
    if (window_.size() < kWarmup || norm <= 0) return false;
    std::vector<double> logs(window_.size());
    std::transform(window_.begin(), window_.end(), logs.begin(),
                   [](double value) { return std::log(value); });
    const double middle = median(logs);
    for (double& value : logs) value = std::abs(value - middle);
    constexpr double kDeviationsOfNormal = 1.4826;  // standard deviation over median absolute deviation
    return std::log(norm) > middle + sigma_ * std::max(kDeviationsOfNormal * median(logs), kLeastSpread);
  }
  // Every step, spikes too: the median does not mind single ones, and a level that lasts becomes the usual
  // one.
  void observe(double norm) {
    if (!std::isfinite(norm) || norm <= 0) return;
    window_.push_back(norm);
    if (window_.size() > kWindow) window_.erase(window_.begin());
  }
  const std::vector<double>& window() const { return window_; }

 private:
  static double median(std::vector<double> values) {
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
  }

  double sigma_;
  std::vector<double> window_;
};

}  // namespace lathe
