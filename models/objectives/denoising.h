#pragma once
// Denoising: pictures are given noise at drawn times and a network is asked for prediction_target
// (noise_schedule.h). Noise, time and what is dropped are functions of (seed, visit, picture), so they do not
// depend on batches, ranks or threads. The loss is a sum over pixels (each channel of each, weighted), the
// trainer divides by the global count.
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "models/diffusion/noise_schedule.h"
#include "models/objectives/objective.h"

namespace lathe {

enum class TimestepKind { Uniform, LogitNormal };

struct DenoisingOptions {
  NoiseSchedule schedule{NoiseScheduleSpec{}};  // its tables are made once, not for every batch
  Prediction prediction = Prediction::Flow;
  TimestepKind timesteps = TimestepKind::Uniform;
  double logit_mean = 0,
         logit_std = 1;          // logit_normal: u = sigmoid(mean + std z) (arXiv 2403.03206, section 3.1)
  double min_snr_gamma = 0;      // 0: every time counts the same
  double offset_noise = 0;       // this much more noise that is the same over a whole channel
  double from = 0, until = 1;    // uniform: of the whole range of times
  double condition_dropout = 0;  // share of pictures that are shown without their text
  std::uint64_t seed = 0;
};

struct NoisyPictures {
  at::Tensor noisy, target;           // (B, c, H, W) fp32
  at::Tensor times;                   // (B) fp32, as the network is told them
  at::Tensor weights;                 // (B) fp32
  std::vector<std::uint8_t> dropped;  // B: 1 where the text is left out
};

// pictures (B, c, H, W) fp32, usually in -1 .. 1; ids name them over the whole data set; visits count how
// often each was seen before.
NoisyPictures add_noise(const at::Tensor& pictures, const std::vector<std::uint64_t>& ids,
                        const std::vector<std::uint64_t>& visits, const DenoisingOptions& options);

// Sum of weight * (output - target)^2; count is the number of values, or of those under the mask (B, 1, H,
// W), 0 .. 1, summed over channels, when there is one.
ObjectiveValue denoising_loss(const at::Tensor& output, const NoisyPictures& asked,
                              const at::Tensor& mask = {});

}  // namespace lathe
