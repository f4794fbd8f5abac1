#pragma once
// A distribution whose best denoiser is known in closed form: a mixture of Gaussians in one dimension. What a
// perfect network would say for every prediction follows from it, so objectives and samplers are checked
// without training anything.
#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "models/diffusion/sampler.h"
#include "models/objectives/denoising.h"

namespace lathe {

struct GaussianMixture {
  std::vector<double> weights{0.3, 0.7}, means{-1, 0.5}, deviations{0.1, 0.2};
  double mean() const;
  double deviation() const;
  // E[x_0 | x_t] of values x (any shape) at noise levels alpha, sigma that broadcast with it, fp64.
  at::Tensor denoised(const at::Tensor& x, const at::Tensor& alpha, const at::Tensor& sigma) const;
  // What a perfect network says of x_t: its prediction target with x_0 and eps replaced by their
  // expectations. Each of x (N) has a level of its own, or all have one.
  at::Tensor perfect_output(const at::Tensor& x, const std::vector<NoiseLevel>& levels,
                            Prediction prediction) const;
};

struct SamplerCheck {
  std::string name;       // "ddim, velocity, cosine"
  double mean_error = 0;  // of the samples, in deviations of the mixture
  double deviation_error = 0;
  double share_error = 0;  // of samples nearer to the first component
  bool passed() const { return mean_error < 0.05 && deviation_error < 0.05 && share_error < 0.03; }
};
// Every sampler with every prediction and schedule it serves, driven by the perfect network from 8,192 draws
// of noise (counter-based: the same everywhere). A sign or scale that is wrong anywhere fails it. About a
// second.
std::vector<SamplerCheck> check_samplers();

struct ObjectiveCheck {
  std::string name;  // "velocity, cosine, logit_normal"
  // Of what is asked for minus what the perfect network says, which is zero in the mean wherever one looks:
  // the largest mean against 1, x_t, t, t x_t and x_t^2, in its standard errors.
  double bias = 0;
  // Of weight * error^2 against min(SNR, gamma) * (error of x_0)^2, relative; 0 without min-SNR weights.
  double weight_error = 0;
  bool passed() const { return bias < 4.5 && weight_error < 1e-4; }
};
// 8,192 one-pixel pictures of the mixture through add_noise; the network answers as one of `answered` would.
ObjectiveCheck check_objective(const DenoisingOptions& options, Prediction answered);
// Every prediction on every schedule (to zero SNR too), with both kinds of times, without and with min-SNR
// weights. Half a second.
std::vector<ObjectiveCheck> check_objectives();

}  // namespace lathe
