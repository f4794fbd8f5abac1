#include "models/diffusion/noise_schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "recipes/schema/error.h"

namespace lathe {

namespace {

std::vector<double> betas(const NoiseScheduleSpec& spec) {
  const auto count = static_cast<std::size_t>(spec.train_timesteps);
  std::vector<double> all(count);
  const bool root = spec.kind == NoiseKind::ScaledLinear;
  const double first = root ? std::sqrt(spec.beta_start) : spec.beta_start;
  const double last = root ? std::sqrt(spec.beta_end) : spec.beta_end;
  for (std::size_t i = 0; i < count; ++i) {
    const double value = first + (last - first) * static_cast<double>(i) / static_cast<double>(count - 1);
    all[i] = root ? value * value : value;
  }
  return all;
}

// Nichol & Dhariwal, arXiv 2102.09672, equation 17, betas at most 0.999.
std::vector<double> cosine_betas(std::size_t count) {
  const auto bar = [](double t) {
    const double c = std::cos((t + 0.008) / 1.008 * std::numbers::pi / 2);
    return c * c;
  };
  std::vector<double> all(count);
  for (std::size_t i = 0; i < count; ++i) {
    const double step = static_cast<double>(count);
    all[i] = std::min(1 - bar(static_cast<double>(i + 1) / step) / bar(static_cast<double>(i) / step), 0.999);
  }
  return all;
}

// arXiv 2305.08891, algorithm 1: sqrt(alpha bar) is shifted so that the last is 0 and scaled so that the
// first stays.
void end_in_pure_noise(std::vector<double>& alphas_cumprod) {
  const double first = std::sqrt(alphas_cumprod.front()), last = std::sqrt(alphas_cumprod.back());
  for (double& value : alphas_cumprod) {
    const double root = (std::sqrt(value) - last) * first / (first - last);
    value = root * root;
  }
}

}  // namespace

double shift_sigma(double sigma, double shift) { return shift * sigma / (1 + (shift - 1) * sigma); }

NoiseSchedule::NoiseSchedule(const NoiseScheduleSpec& spec) : spec_(spec) {
  if (spec.train_timesteps < 2)
    fail_usage("a noise schedule needs at least 2 timesteps, not ", spec.train_timesteps);
  if (!(spec.shift > 0)) fail_usage("the shift of a noise schedule must be above 0, not ", spec.shift);
  if (is_flow()) {
    if (spec.zero_terminal_snr)
      fail_usage("zero_terminal_snr: flow matching ends in pure noise anyway; leave it out");
    return;
  }
  if (!(spec.beta_start > 0 && spec.beta_start <= spec.beta_end && spec.beta_end < 1))
    fail_usage("betas must satisfy 0 < beta_start <= beta_end < 1, not ", spec.beta_start, " and ",
               spec.beta_end);
  const auto all = spec.kind == NoiseKind::Cosine
                       ? cosine_betas(static_cast<std::size_t>(spec.train_timesteps))
                       : betas(spec);
  // Rounded where diffusers rounds (fp32 tables, products summed up in fp64): near clean and near noise, 1 -
  // alpha and alpha are so small that an unrounded table would move the sampler's sigmas by 0.03 %.
  double product = 1;
  for (const double beta : all) {
    product *= 1 - static_cast<float>(beta);
    alphas_cumprod_.push_back(static_cast<float>(product));
  }
  if (spec.zero_terminal_snr) end_in_pure_noise(alphas_cumprod_);
}

NoiseLevel NoiseSchedule::at(double t) const {
  if (is_flow()) {
    const double sigma = t / static_cast<double>(spec_.train_timesteps);
    require(sigma >= 0 && sigma <= 1, "time ", t, " is not in 0 .. ", spec_.train_timesteps);
    return {1 - sigma, sigma};
  }
  const auto last = static_cast<double>(alphas_cumprod_.size() - 1);
  require(t >= 0 && t <= last, "timestep ", t, " is not in 0 .. ", last);
  const auto below = static_cast<std::size_t>(t);
  const double share = t - static_cast<double>(below);
  const double low = alphas_cumprod_[below];
  if (share == 0) return {std::sqrt(low), std::sqrt(1 - low)};
  const double high = alphas_cumprod_[below + 1];
  const double ratio = (1 - share) * std::sqrt((1 - low) / low) + share * std::sqrt((1 - high) / high);
  if (std::isinf(ratio)) return {0, 1};
  const double alpha = 1 / std::sqrt(1 + ratio * ratio);
  return {alpha, ratio * alpha};
}

Mixture prediction_target(Prediction prediction, NoiseLevel level) {
  switch (prediction) {
    case Prediction::Epsilon:
      return {0, 1};
    case Prediction::Sample:
      return {1, 0};
    case Prediction::Velocity:
      return {-level.sigma, level.alpha};
    case Prediction::Flow:
      return {-1, 1};
  }
  fail("unknown prediction");
}

Unmixing unmix(Prediction prediction, NoiseLevel level) {
  const Mixture target = prediction_target(prediction, level);
  const double determinant = level.alpha * target.noise - level.sigma * target.sample;
  require(std::fabs(determinant) > 1e-12, prediction == Prediction::Epsilon ? "epsilon" : "sample",
          " prediction says nothing at alpha ", level.alpha, ", sigma ", level.sigma,
          "; predict velocity or flow, or start from a level with a little signal");
  return {target.noise / determinant, -level.sigma / determinant, -target.sample / determinant,
          level.alpha / determinant};
}

double min_snr_weight(Prediction prediction, NoiseLevel level, double gamma) {
  if (gamma <= 0) return 1;
  // |target error|^2 = |x_0 error|^2 / k^2 with k = d x_0 / d target; the weight on the target's error is
  // min(SNR, gamma) k^2.
  if (level.sigma == 0) return prediction == Prediction::Sample ? gamma : 0;
  // Noise alone, where every sampler starts: by the formula epsilon's limit is 1 and the others would never
  // be trained there, so that with a zero-terminal SNR all count 1, as in diffusers' training scripts.
  if (level.alpha == 0) return 1;
  const double per_target = unmix(prediction, level).sample_from_output;
  return std::min(level.snr(), gamma) * per_target * per_target;
}

}  // namespace lathe
