#include "models/diffusion/sampler.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>

#include "models/diffusion/sampler_times.h"
#include "recipes/schema/error.h"

namespace lathe {

namespace {

// Half the log of the signal-to-noise ratio of a level with sigma / alpha = ratio.
double half_log_snr(double ratio) { return -std::log(ratio); }

double alpha_of(double ratio) { return 1 / std::sqrt(1 + ratio * ratio); }

}  // namespace

Sampler::Sampler(const NoiseSchedule& schedule, Prediction prediction, const SamplerOptions& options)
    : schedule_(schedule),
      prediction_(prediction),
      options_(options),
      times_(sampler_times(schedule.spec(), options)) {
  switch (options.kind) {
    case SamplerKind::Ddpm:
    case SamplerKind::Ddim:
      break;
    case SamplerKind::FlowEuler:
      for (const double time : times_)
        sigmas_.push_back(time / static_cast<double>(schedule.spec().train_timesteps));
      sigmas_.push_back(0);
      break;
    default:
      place_variance_exploding();
  }
}

void Sampler::place_variance_exploding() {
  for (const double time : times_) sigmas_.push_back(schedule_.at(time).ratio());
  require(std::all_of(sigmas_.begin(), sigmas_.end(), [](double s) { return std::isfinite(s); }),
          "Euler, Heun and DPM++ count noise beside the picture, and a schedule with zero_terminal_snr has "
          "none at its first "
          "timestep; sample with ddim or ddpm");
  sigmas_.push_back(0);
  if (options_.kind != SamplerKind::Heun) return;
  // Two evaluations a step: at its start, and at its end but for the last step.
  std::vector<double> times{times_.front()}, sigmas{sigmas_.front()};
  for (std::size_t i = 1; i < times_.size(); ++i) {
    times.insert(times.end(), 2, times_[i]);
    sigmas.insert(sigmas.end(), 2, sigmas_[i]);
  }
  sigmas.push_back(0);
  times_ = std::move(times);
  sigmas_ = std::move(sigmas);
}

double Sampler::initial_scale() const {
  if (options_.kind != SamplerKind::Euler && options_.kind != SamplerKind::Heun) return 1;
  const double largest = sigmas_.front();
  return options_.spacing == TimestepSpacing::Leading ? std::sqrt(largest * largest + 1) : largest;
}

at::Tensor Sampler::model_input(const at::Tensor& x) const {
  if (options_.kind != SamplerKind::Euler && options_.kind != SamplerKind::Heun) return x;
  return x * alpha_of(sigmas_[index_]);
}

at::Tensor Sampler::step(const at::Tensor& output, const at::Tensor& x,
                         const std::function<at::Tensor(std::size_t)>& noise) {
  require(!done(), "the sampler has made all its steps");
  const at::NoGradGuard no_grad;
  at::Tensor next;
  switch (options_.kind) {
    case SamplerKind::Ddpm:
      next = ddpm(output, x, noise);
      break;
    case SamplerKind::Ddim:
      next = ddim(output, x, noise);
      break;
    case SamplerKind::Euler:
      next = euler(output, x);
      break;
    case SamplerKind::Heun:
      next = heun(output, x);
      break;
    case SamplerKind::DpmPlusPlus2M:
      next = dpm(output, x);
      break;
    case SamplerKind::FlowEuler:
      next = flow(output, x);
      break;
  }
  ++index_;
  return next;
}

double Sampler::alpha_squared(std::int64_t timestep) const {
  const auto& all = schedule_.alphas_cumprod();
  if (timestep >= 0) return all[static_cast<std::size_t>(timestep)];
  return options_.kind == SamplerKind::Ddim && !options_.set_alpha_to_one ? all.front() : 1;
}

at::Tensor Sampler::clean(const at::Tensor& output, const at::Tensor& x, NoiseLevel level) const {
  const Unmixing parts = unmix(prediction_, level);
  const at::Tensor sample = x * parts.sample_from_noisy + output * parts.sample_from_output;
  const double bound = options_.clip_sample;
  return bound > 0 ? sample.clamp(-bound, bound) : sample;
}

// arXiv 2006.11239, equation 7: the posterior's mean and its smaller variance.
at::Tensor Sampler::ddpm(const at::Tensor& output, const at::Tensor& x,
                         const std::function<at::Tensor(std::size_t)>& noise) const {
  const auto t = static_cast<std::int64_t>(times_[index_]);
  const bool last = index_ + 1 == times_.size();
  const double now = alpha_squared(t),
               before = last ? 1 : alpha_squared(static_cast<std::int64_t>(times_[index_ + 1]));
  const double ratio = now / before, beta = 1 - ratio;
  const at::Tensor sample = clean(output, x, schedule_.at(static_cast<double>(t)));
  at::Tensor mean =
      sample * (std::sqrt(before) * beta / (1 - now)) + x * (std::sqrt(ratio) * (1 - before) / (1 - now));
  if (t == 0) return mean;
  const double variance = std::max((1 - before) / (1 - now) * beta, 1e-20);
  return mean + noise(index_) * std::sqrt(variance);
}

// arXiv 2010.02502, equation 12; the noise is that of the unclipped prediction.
at::Tensor Sampler::ddim(const at::Tensor& output, const at::Tensor& x,
                         const std::function<at::Tensor(std::size_t)>& noise) const {
  const auto t = static_cast<std::int64_t>(times_[index_]);
  const double now = alpha_squared(t),
               before = alpha_squared(t - schedule_.spec().train_timesteps / options_.steps);
  const NoiseLevel level = schedule_.at(static_cast<double>(t));
  const Unmixing parts = unmix(prediction_, level);
  const at::Tensor sample = clean(output, x, level);
  const at::Tensor direction = x * parts.noise_from_noisy + output * parts.noise_from_output;
  const double deviation = options_.eta * std::sqrt((1 - before) / (1 - now) * (1 - now / before));
  at::Tensor next =
      sample * std::sqrt(before) + direction * std::sqrt(std::max(0.0, 1 - before - deviation * deviation));
  if (deviation > 0) next = next + noise(index_) * deviation;
  return next;
}

// x here is the picture plus sigma times noise: level (alpha, sigma) scaled to alpha = 1.
at::Tensor Sampler::euler(const at::Tensor& output, const at::Tensor& x) const {
  const double sigma = sigmas_[index_], alpha = alpha_of(sigma);
  const at::Tensor sample = clean(output, x * alpha, {alpha, sigma * alpha});
  return x + (x - sample) * ((sigmas_[index_ + 1] - sigma) / sigma);
}

// Karras et al., algorithm 1: evaluations come as (start), (end, start), (end, start) ..., and the last step
// is Euler's.
at::Tensor Sampler::heun(const at::Tensor& output, const at::Tensor& x) {
  const double sigma = sigmas_[index_], alpha = alpha_of(sigma);
  const at::Tensor slope = (x - clean(output, x * alpha, {alpha, sigma * alpha})) / sigma;
  if (!previous_slope_.defined()) {
    const double next = sigmas_[index_ + 1];
    if (next > 0) {
      previous_slope_ = slope;
      previous_clean_ = x;
    }
    return x + slope * (next - sigma);
  }
  const at::Tensor next = previous_clean_ + (previous_slope_ + slope) * ((sigma - sigmas_[index_ - 1]) / 2);
  previous_slope_ = at::Tensor();
  return next;
}

// arXiv 2211.01095, algorithm 2, in the midpoint form; first and last step of first order.
at::Tensor Sampler::dpm(const at::Tensor& output, const at::Tensor& x) {
  const double from = sigmas_[index_], to = sigmas_[index_ + 1];
  const double alpha_from = alpha_of(from), alpha_to = alpha_of(to);
  const at::Tensor sample = clean(output, x, {alpha_from, from * alpha_from});
  const at::Tensor before = std::exchange(previous_clean_, sample);
  if (to == 0) return sample;
  const double step = half_log_snr(to) - half_log_snr(from), growth = alpha_to * std::expm1(-step);
  at::Tensor next = x * (to * alpha_to / (from * alpha_from)) - sample * growth;
  if (before.defined()) {
    const double step_before = half_log_snr(from) - half_log_snr(sigmas_[index_ - 1]);
    next = next - (sample - before) * (growth * step / step_before / 2);
  }
  return next;
}

at::Tensor Sampler::flow(const at::Tensor& output, const at::Tensor& x) const {
  const double sigma = sigmas_[index_];
  const Unmixing parts = unmix(prediction_, {1 - sigma, sigma});
  // The path's slope is noise - sample, whatever was predicted.
  const at::Tensor slope = prediction_ == Prediction::Flow
                               ? output
                               : x * (parts.noise_from_noisy - parts.sample_from_noisy) +
                                     output * (parts.noise_from_output - parts.sample_from_output);
  return x + slope * (sigmas_[index_ + 1] - sigma);
}

}  // namespace lathe
