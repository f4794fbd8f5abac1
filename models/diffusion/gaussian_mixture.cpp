#include "models/diffusion/gaussian_mixture.h"

#include <ATen/ATen.h>

#include <cmath>
#include <span>

#include "data/random/philox.h"
#include "models/diffusion/names.h"
#include "recipes/schema/error.h"

namespace lathe {

namespace {

constexpr std::int64_t kDraws = 8192;

at::Tensor normal_draws(std::uint64_t visit) {
  at::Tensor draws = at::empty({kDraws}, at::kFloat);
  const RandomStream stream({1, Purpose::Noise, 0, visit, 0});
  stream.fill_normal(0, std::span(draws.data_ptr<float>(), static_cast<std::size_t>(kDraws)));
  return draws;
}

std::vector<Prediction> predictions_of(const NoiseScheduleSpec& schedule) {
  // At pure noise epsilon says nothing of the picture.
  if (schedule.zero_terminal_snr) return {Prediction::Sample, Prediction::Velocity};
  if (schedule.kind == NoiseKind::Flow) return {Prediction::Flow, Prediction::Sample};
  return {Prediction::Epsilon, Prediction::Sample, Prediction::Velocity, Prediction::Flow};
}

SamplerCheck check(const GaussianMixture& mixture, const NoiseSchedule& schedule, Prediction prediction,
                   SamplerKind kind) {
  SamplerOptions options;
  options.kind = kind;
  options.steps = kind == SamplerKind::Ddpm ? 500 : 100;
  options.spacing = TimestepSpacing::Trailing;
  Sampler sampler(schedule, prediction, options);
  at::Tensor x = normal_draws(0) * sampler.initial_scale();
  while (!sampler.done()) {
    const at::Tensor input = sampler.model_input(x);
    const at::Tensor output = mixture.perfect_output(input, schedule.at(sampler.time()), prediction);
    x = sampler.step(output, x, [](std::size_t step) { return normal_draws(step + 1); });
  }
  const double middle = (mixture.means[0] + mixture.means[1]) / 2;
  SamplerCheck result;
  result.name = cat(to_name(kind), ", ", to_name(prediction), ", ", to_name(schedule.spec().kind),
                    schedule.spec().zero_terminal_snr ? " to zero SNR" : "");
  result.mean_error = std::fabs(x.mean().item<double>() - mixture.mean()) / mixture.deviation();
  result.deviation_error = std::fabs(x.std().item<double>() / mixture.deviation() - 1);
  result.share_error = std::fabs(x.lt(middle).to(at::kDouble).mean().item<double>() - mixture.weights[0]);
  return result;
}

}  // namespace

double GaussianMixture::mean() const {
  double sum = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) sum += weights[i] * means[i];
  return sum;
}

double GaussianMixture::deviation() const {
  double squares = 0;
  for (std::size_t i = 0; i < weights.size(); ++i)
    squares += weights[i] * (means[i] * means[i] + deviations[i] * deviations[i]);
  return std::sqrt(squares - mean() * mean());
}

// x_t of a component is N(alpha m, alpha^2 s^2 + sigma^2); within it x_0 and x_t are jointly Gaussian.
at::Tensor GaussianMixture::denoised(const at::Tensor& x, NoiseLevel level) const {
  const at::Tensor noisy = x.to(at::kDouble);
  std::vector<at::Tensor> logs, centres;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const double variance = deviations[i] * deviations[i];
    const double total = level.alpha * level.alpha * variance + level.sigma * level.sigma;
    const at::Tensor off = noisy - level.alpha * means[i];
    logs.push_back(std::log(weights[i]) - 0.5 * std::log(total) - off * off / (2 * total));
    centres.push_back(means[i] + off * (level.alpha * variance / total));
  }
  return (at::stack(logs).softmax(0) * at::stack(centres)).sum(0);
}

at::Tensor GaussianMixture::perfect_output(const at::Tensor& x, NoiseLevel level,
                                           Prediction prediction) const {
  const at::Tensor sample = denoised(x, level),
                   noise = (x.to(at::kDouble) - level.alpha * sample) / level.sigma;
  const Mixture target = prediction_target(prediction, level);
  return sample * target.sample + noise * target.noise;
}

std::vector<SamplerCheck> check_samplers() {
  const GaussianMixture mixture;
  std::vector<SamplerCheck> all;
  for (const NoiseKind kind :
       {NoiseKind::Linear, NoiseKind::ScaledLinear, NoiseKind::Cosine, NoiseKind::Flow}) {
    for (const bool zero : {false, true}) {
      NoiseScheduleSpec spec;
      spec.kind = kind;
      spec.zero_terminal_snr = zero;
      if (kind == NoiseKind::Flow && zero) continue;
      if (kind == NoiseKind::ScaledLinear) spec.beta_start = 8.5e-4, spec.beta_end = 0.012;
      const NoiseSchedule schedule(spec);
      for (const Prediction prediction : predictions_of(spec)) {
        if (kind == NoiseKind::Flow) {
          all.push_back(check(mixture, schedule, prediction, SamplerKind::FlowEuler));
          continue;
        }
        for (const SamplerKind sampler : {SamplerKind::Ddpm, SamplerKind::Ddim})
          all.push_back(check(mixture, schedule, prediction, sampler));
        if (zero) continue;  // the others count noise beside the picture, and there is none at zero SNR
        for (const SamplerKind sampler : {SamplerKind::Euler, SamplerKind::Heun, SamplerKind::DpmPlusPlus2M})
          all.push_back(check(mixture, schedule, prediction, sampler));
      }
    }
  }
  return all;
}

}  // namespace lathe
