#pragma once
// Watches the gradient norm and the loss: a step is a spike when either is not finite, or lies more than
// `sigma` deviations above the median of the last steps. The spread is estimated by the median absolute
// deviation (Hampel 1974), which outliers do not move, and never taken as less than a floor.
//
// Norms of healthy training spread like a log-normal, drift by factors over a run and narrow as it goes on,
// so they are judged by their logarithm: at 6 deviations a spike is at least eleven times the median. A loss
// may leap at a usual norm. It must be far out both by itself and by its logarithm: losses of a pretraining
// run lie so close together that six of their own deviations are nothing, those of small batches spread over
// factors once most examples are learned. At 6 deviations a spike is at least 1.5 above the median and 1.6
// times it. And it stands out from all but one loss of the window: what comes back is the data, and a level
// that lasts is not left by passing steps over.
//
// Plain state, saved in checkpoints, so that a resumed run decides as the uninterrupted one.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <utility>
#include <vector>

namespace lathe {

// What of a step is a spike.
struct Spike {
  bool loss = false, norm = false;
  explicit operator bool() const { return loss || norm; }
  const char* name() const {
    return loss && norm ? "loss and gradient norm" : loss ? "loss" : "gradient norm";
  }
};

class SpikeWatch {
 public:
  // The median of losses is of fewer steps: they fall, which would be spread in a longer window.
  static constexpr std::size_t kWindow = 128, kWarmup = 64, kRecentLosses = 64;
  static constexpr double kLeastLogNormSpread = 0.4, kLeastLossSpread = 0.25, kLeastLogLossSpread = 0.08;
  explicit SpikeWatch(double sigma, std::vector<double> norms = {}, std::vector<double> losses = {})
      : sigma_(sigma), norms_(std::move(norms)), losses_(std::move(losses)) {}

  Spike judge(double loss, double norm) const {
    return {.loss = !std::isfinite(loss) || loss_is_out(loss),
            .norm = !std::isfinite(norm) || norm_is_out(norm)};
  }
  // Every step, spikes too: the median does not mind single ones, and a level that lasts becomes the usual
  // one.
  void observe(double loss, double norm) {
    if (std::isfinite(norm) && norm > 0) push(norms_, norm);
    if (std::isfinite(loss)) push(losses_, loss);
  }
  const std::vector<double>& norms() const { return norms_; }
  const std::vector<double>& losses() const { return losses_; }

 private:
  bool norm_is_out(double norm) const {
    if (norms_.size() < kWarmup || norm <= 0) return false;
    return std::log(norm) > limit(logarithms(norms_), kLeastLogNormSpread);
  }
  bool loss_is_out(double loss) const {
    if (losses_.size() < kRecentLosses) return false;
    const std::vector<double> recent(losses_.end() - kRecentLosses, losses_.end());
    if (loss <= limit(recent, kLeastLossSpread)) return false;
    const std::vector<double> logs = logarithms(recent);
    if (logarithm(loss) <= limit(logs, kLeastLogLossSpread)) return false;
    std::vector<double> seen = logarithms(losses_);
    std::nth_element(seen.begin(), seen.begin() + 1, seen.end(), std::greater<>());
    return logarithm(loss) > seen[1] + sigma_ / 2 * std::max(spread(logs), kLeastLogLossSpread);
  }

  double limit(const std::vector<double>& values, double least_spread) const {
    return median(values) + sigma_ * std::max(spread(values), least_spread);
  }
  static double spread(std::vector<double> values) {
    constexpr double kDeviationsOfNormal = 1.4826;  // standard deviation over median absolute deviation
    const double middle = median(values);
    for (double& value : values) value = std::abs(value - middle);
    return kDeviationsOfNormal * median(std::move(values));
  }
  static double median(std::vector<double> values) {
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
  }
  static double logarithm(double value) { return std::log(std::max(value, 1e-12)); }  // a loss may reach 0
  static std::vector<double> logarithms(std::vector<double> values) {
    std::transform(values.begin(), values.end(), values.begin(), logarithm);
    return values;
  }
  static void push(std::vector<double>& window, double value) {
    window.push_back(value);
    if (window.size() > kWindow) window.erase(window.begin());
  }

  double sigma_;
  std::vector<double> norms_, losses_;
};

}  // namespace lathe
