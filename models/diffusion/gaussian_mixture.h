#pragma once
// A distribution whose best denoiser is known in closed form: a mixture of Gaussians in one dimension. What a
// perfect network would say for every prediction follows from it, so objectives and samplers are checked
// without training anything.
#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "models/diffusion/sampler.h"

namespace lathe {

struct GaussianMixture {
  std::vector<double> weights{0.3, 0.7}, means{-1, 0.5}, deviations{0.1, 0.2};
  double mean() const;
  double deviation() const;
  // E[x_0 | x_t] of values x (any shape), fp64.
  at::Tensor denoised(const at::Tensor& x, NoiseLevel level) const;
  // What a perfect network says of x_t: its prediction target with x_0 and eps replaced by their
  // expectations.
  at::Tensor perfect_output(const at::Tensor& x, NoiseLevel level, Prediction prediction) const;
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

}  // namespace lathe
