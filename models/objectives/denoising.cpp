#include "models/objectives/denoising.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <span>

#include "data/random/philox.h"

namespace lathe {

namespace {

// Sites of Purpose::Noise.
constexpr std::uint32_t kPixels = 0, kOffset = 1;
// Sites of Purpose::Timestep.
constexpr std::uint32_t kTime = 0, kDrop = 1;

// How noisy the picture gets, 0 clean .. 1 noise, in the open interval.
double draw_share(const RandomStream& stream, const DenoisingOptions& options) {
  if (options.timesteps == TimestepKind::LogitNormal)
    return 1 / (1 + std::exp(-(options.logit_mean + options.logit_std * stream.normal(0))));
  return options.from + (options.until - options.from) * ((stream.bits(0) + 0.5) * 0x1p-32);
}

double draw_time(const RandomStream& stream, const DenoisingOptions& options) {
  const auto steps = static_cast<double>(options.schedule.spec().train_timesteps);
  const double share = draw_share(stream, options);
  if (options.schedule.is_flow()) return shift_sigma(share, options.schedule.spec().shift) * steps;
  return std::min(std::floor(share * steps), steps - 1);
}

at::Tensor normal(const RandomStream& stream, at::IntArrayRef shape) {
  at::Tensor values = at::empty(shape, at::kFloat);
  stream.fill_normal(0, std::span(values.data_ptr<float>(), static_cast<std::size_t>(values.numel())));
  return values;
}

}  // namespace

NoisyPictures add_noise(const at::Tensor& pictures, const std::vector<std::uint64_t>& ids,
                        const std::vector<std::uint64_t>& visits, const DenoisingOptions& options) {
  const at::NoGradGuard no_grad;
  const std::int64_t batch = pictures.size(0);
  NoisyPictures result{at::empty_like(pictures),
                       at::empty_like(pictures),
                       at::empty({batch}, at::kFloat),
                       at::empty({batch}, at::kFloat),
                       {}};
  for (std::int64_t i = 0; i < batch; ++i) {
    const std::uint64_t id = ids[static_cast<std::size_t>(i)], visit = visits[static_cast<std::size_t>(i)];
    const auto stream = [&](Purpose purpose, std::uint32_t site) {
      return RandomStream({options.seed, purpose, site, visit, id});
    };
    const double time = draw_time(stream(Purpose::Timestep, kTime), options);
    const NoiseLevel level = options.schedule.at(time);
    const at::Tensor picture = pictures[i];
    at::Tensor noise = normal(stream(Purpose::Noise, kPixels), picture.sizes());
    if (options.offset_noise > 0)
      noise.add_(normal(stream(Purpose::Noise, kOffset), {picture.size(0), 1, 1}), options.offset_noise);
    const Mixture target = prediction_target(options.prediction, level);
    result.noisy[i].copy_(picture * level.alpha + noise * level.sigma);
    result.target[i].copy_(picture * target.sample + noise * target.noise);
    result.times[i].fill_(time);
    result.weights[i].fill_(min_snr_weight(options.prediction, level, options.min_snr_gamma));
    result.dropped.push_back(stream(Purpose::Timestep, kDrop).uniform(0) < options.condition_dropout);
  }
  return result;
}

ObjectiveValue denoising_loss(const at::Tensor& output, const NoisyPictures& asked, const at::Tensor& mask) {
  at::Tensor squares = (output.to(at::kFloat) - asked.target).pow(2) * asked.weights.view({-1, 1, 1, 1});
  ObjectiveValue value;
  value.unit = LossUnit::Pixel;
  value.count = output.numel();
  if (mask.defined()) {
    squares = squares * mask;
    value.count = static_cast<std::int64_t>(
        std::llround(mask.sum().item<double>() * static_cast<double>(output.size(1))));
  }
  value.sum = squares.sum();
  return value;
}

}  // namespace lathe
