#include "models/objectives/denoising.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include <algorithm>
#include <cmath>
#include <span>

#include "data/random/philox.h"
#include "models/ops/parallel.h"

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

// Gaussian noise of `count` values in `channels` channels, `offset` of it the same over a whole channel.
void fill_noise(const RandomStream& pixels, const RandomStream& whole, double offset, std::span<float> noise,
                std::size_t channels) {
  pixels.fill_normal(0, noise);
  if (offset <= 0) return;
  std::vector<float> more(channels);
  whole.fill_normal(0, more);
  const std::size_t area = noise.size() / channels;
  for (std::size_t i = 0; i < noise.size(); ++i) noise[i] += static_cast<float>(offset) * more[i / area];
}

}  // namespace

NoisyPictures add_noise(const at::Tensor& pictures, const std::vector<std::uint64_t>& ids,
                        const std::vector<std::uint64_t>& visits, const DenoisingOptions& options) {
  const at::NoGradGuard no_grad;
  const std::int64_t batch = pictures.size(0);
  const at::Tensor clean = pictures.to(at::kFloat).contiguous();
  NoisyPictures result{at::empty_like(clean), at::empty_like(clean), at::empty({batch}, at::kFloat),
                       at::empty({batch}, at::kFloat),
                       std::vector<std::uint8_t>(static_cast<std::size_t>(batch))};
  const auto size = static_cast<std::size_t>(batch == 0 ? 0 : clean.numel() / batch);
  const auto channels = static_cast<std::size_t>(clean.size(1));
  const float* from = clean.const_data_ptr<float>();
  float *noisy = result.noisy.data_ptr<float>(), *target = result.target.data_ptr<float>();
  float *times = result.times.data_ptr<float>(), *weights = result.weights.data_ptr<float>();
  parallel_ranges(batch, 4, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> noise(size);
    for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
      const auto stream = [&](Purpose purpose, std::uint32_t site) {
        return RandomStream({options.seed, purpose, site, visits[i], ids[i]});
      };
      const double time = draw_time(stream(Purpose::Timestep, kTime), options);
      const NoiseLevel level = options.schedule.at(time);
      const Mixture wanted = prediction_target(options.prediction, level);
      fill_noise(stream(Purpose::Noise, kPixels), stream(Purpose::Noise, kOffset), options.offset_noise,
                 noise, channels);
      const auto alpha = static_cast<float>(level.alpha), sigma = static_cast<float>(level.sigma);
      const auto sample = static_cast<float>(wanted.sample), share = static_cast<float>(wanted.noise);
      for (std::size_t k = 0; k < size; ++k) {
        noisy[i * size + k] = from[i * size + k] * alpha + noise[k] * sigma;
        target[i * size + k] = from[i * size + k] * sample + noise[k] * share;
      }
      times[i] = static_cast<float>(time);
      weights[i] = static_cast<float>(min_snr_weight(options.prediction, level, options.min_snr_gamma));
      result.dropped[i] = stream(Purpose::Timestep, kDrop).uniform(0) < options.condition_dropout;
    }
  });
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
