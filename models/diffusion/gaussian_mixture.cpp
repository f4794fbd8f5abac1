#include "models/diffusion/gaussian_mixture.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/stack.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "data/random/philox.h"
#include "models/diffusion/names.h"
#include "models/diffusion/noise.h"
#include "recipes/schema/error.h"

namespace lathe {

namespace {

constexpr std::int64_t kDraws = 8192;

at::Tensor normal_draws(std::uint64_t visit) {
  return normal_noise({1, Purpose::Noise, 0, visit, 0}, {kDraws});
}

// The kinds of noise that recipes can ask for, and those to zero SNR.
std::vector<NoiseScheduleSpec> all_schedules() {
  std::vector<NoiseScheduleSpec> all;
  for (const NoiseKind kind :
       {NoiseKind::Linear, NoiseKind::ScaledLinear, NoiseKind::Cosine, NoiseKind::Flow}) {
    for (const bool zero : {false, true}) {
      if (kind == NoiseKind::Flow && zero) continue;
      NoiseScheduleSpec spec;
      spec.kind = kind;
      spec.zero_terminal_snr = zero;
      if (kind == NoiseKind::ScaledLinear) spec.beta_start = 8.5e-4, spec.beta_end = 0.012;
      all.push_back(spec);
    }
  }
  return all;
}

std::string schedule_name(const NoiseScheduleSpec& spec) {
  return cat(to_name(spec.kind), spec.zero_terminal_snr ? " to zero SNR" : "");
}

// One-pixel pictures of the mixture, (N, 1, 1, 1).
at::Tensor mixture_pictures(const GaussianMixture& mixture) {
  at::Tensor pictures = at::empty({kDraws, 1, 1, 1}, at::kFloat);
  const RandomStream choice({1, Purpose::Sampling, 0, 0, 0}), place({1, Purpose::Sampling, 1, 0, 0});
  float* out = pictures.data_ptr<float>();
  for (std::size_t i = 0; i < static_cast<std::size_t>(kDraws); ++i) {
    const std::size_t part = choice.uniform(i) < mixture.weights[0] ? 0 : 1;
    out[i] = static_cast<float>(mixture.means[part] + mixture.deviations[part] * place.normal(i));
  }
  return pictures;
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
    const at::Tensor output = mixture.perfect_output(input, {schedule.at(sampler.time())}, prediction);
    x = sampler.step(output, x, [](std::size_t step) { return normal_draws(step + 1); });
  }
  const double middle = (mixture.means[0] + mixture.means[1]) / 2;
  SamplerCheck result;
  result.name = cat(to_name(kind), ", ", to_name(prediction), ", ", schedule_name(schedule.spec()));
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
at::Tensor GaussianMixture::denoised(const at::Tensor& x, const at::Tensor& alpha,
                                     const at::Tensor& sigma) const {
  const at::Tensor noisy = x.to(at::kDouble);
  std::vector<at::Tensor> logs, centres;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const double variance = deviations[i] * deviations[i];
    const at::Tensor total = alpha * alpha * variance + sigma * sigma;
    const at::Tensor off = noisy - alpha * means[i];
    logs.push_back(std::log(weights[i]) - 0.5 * total.log() - off * off / (2 * total));
    centres.push_back(means[i] + off * (alpha * variance / total));
  }
  return (at::stack(logs).softmax(0) * at::stack(centres)).sum(0);
}

at::Tensor GaussianMixture::perfect_output(const at::Tensor& x, const std::vector<NoiseLevel>& levels,
                                           Prediction prediction) const {
  const at::Tensor table = at::empty({4, static_cast<std::int64_t>(levels.size())}, at::kDouble);
  auto values = table.accessor<double, 2>();
  for (std::size_t i = 0; i < levels.size(); ++i) {
    const Mixture target = prediction_target(prediction, levels[i]);
    const auto column = static_cast<std::int64_t>(i);
    values[0][column] = levels[i].alpha;
    values[1][column] = levels[i].sigma;
    values[2][column] = target.sample;
    values[3][column] = target.noise;
  }
  const at::Tensor sample = denoised(x, table[0], table[1]),
                   noise = (x.to(at::kDouble) - table[0] * sample) / table[1];
  return sample * table[2] + noise * table[3];
}

std::vector<SamplerCheck> check_samplers() {
  const GaussianMixture mixture;
  std::vector<SamplerCheck> all;
  for (const NoiseScheduleSpec& spec : all_schedules()) {
    const NoiseSchedule schedule(spec);
    for (const Prediction prediction : predictions_of(spec)) {
      if (schedule.is_flow()) {
        all.push_back(check(mixture, schedule, prediction, SamplerKind::FlowEuler));
        continue;
      }
      for (const SamplerKind sampler : {SamplerKind::Ddpm, SamplerKind::Ddim})
        all.push_back(check(mixture, schedule, prediction, sampler));
      if (spec.zero_terminal_snr) continue;  // the others count noise beside the picture: there is none
      for (const SamplerKind sampler : {SamplerKind::Euler, SamplerKind::Heun, SamplerKind::DpmPlusPlus2M})
        all.push_back(check(mixture, schedule, prediction, sampler));
    }
  }
  return all;
}

ObjectiveCheck check_objective(const DenoisingOptions& options, Prediction answered) {
  const GaussianMixture mixture;
  const at::Tensor pictures = mixture_pictures(mixture);
  std::vector<std::uint64_t> ids(static_cast<std::size_t>(kDraws));
  std::iota(ids.begin(), ids.end(), std::uint64_t{0});
  const NoisyPictures asked = add_noise(pictures, ids, std::vector<std::uint64_t>(ids.size(), 0), options);
  const at::Tensor noisy = asked.noisy.flatten().to(at::kDouble), times = asked.times.to(at::kDouble);
  std::vector<NoiseLevel> levels;
  for (std::int64_t i = 0; i < kDraws; ++i)
    levels.push_back(options.schedule.at(times.const_data_ptr<double>()[i]));
  const at::Tensor error =
      mixture.perfect_output(noisy, levels, answered) - asked.target.flatten().to(at::kDouble);
  ObjectiveCheck result;
  result.name = cat(to_name(options.prediction), ", ", schedule_name(options.schedule.spec()), ", ",
                    options.timesteps == TimestepKind::Uniform ? "uniform" : "logit_normal",
                    options.min_snr_gamma > 0 ? ", min-SNR" : "");
  const at::Tensor t = times / static_cast<double>(options.schedule.spec().train_timesteps);
  for (const at::Tensor& look : {at::ones_like(noisy), noisy, t, t * noisy, noisy * noisy}) {
    const at::Tensor products = error * look;
    const double standard_error = products.std().item<double>() / std::sqrt(static_cast<double>(kDraws));
    result.bias = std::max(result.bias, std::fabs(products.mean().item<double>()) / standard_error);
  }
  if (options.min_snr_gamma <= 0) return result;
  const at::Tensor wanted = at::empty({kDraws}, at::kDouble);
  for (std::size_t i = 0; i < levels.size(); ++i)
    wanted.data_ptr<double>()[i] = std::min(levels[i].snr(), options.min_snr_gamma);
  const at::Tensor off =
      mixture.perfect_output(noisy, levels, Prediction::Sample) - pictures.flatten().to(at::kDouble);
  at::Tensor found = asked.weights.to(at::kDouble) * error * error, right = wanted * off * off;
  for (std::size_t i = 0; i < levels.size(); ++i)  // of noise alone the weight is 1
    if (const auto row = static_cast<std::int64_t>(i); levels[i].alpha == 0) {
      found[row] = asked.weights[row].to(at::kDouble);
      right[row] = 1;
    }
  result.weight_error = ((found - right).abs().max() / right.max()).item<double>();
  return result;
}

std::vector<ObjectiveCheck> check_objectives() {
  std::vector<ObjectiveCheck> all;
  for (const NoiseScheduleSpec& spec : all_schedules()) {
    DenoisingOptions options;
    options.schedule = NoiseSchedule(spec);
    for (const Prediction prediction :
         {Prediction::Epsilon, Prediction::Sample, Prediction::Velocity, Prediction::Flow}) {
      if (spec.zero_terminal_snr && prediction == Prediction::Epsilon) continue;
      options.prediction = prediction;
      for (const TimestepKind kind : {TimestepKind::Uniform, TimestepKind::LogitNormal}) {
        for (const double gamma : {0.0, 5.0}) {
          options.timesteps = kind;
          options.min_snr_gamma = gamma;
          all.push_back(check_objective(options, prediction));
        }
      }
    }
  }
  return all;
}

}  // namespace lathe
