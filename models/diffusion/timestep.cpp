#include "models/diffusion/timestep.h"

#include <ATen/ATen.h>

#include <cmath>

namespace lathe {

at::Tensor timestep_embedding(const at::Tensor& times, std::int64_t channels) {
  const std::int64_t half = channels / 2;
  const at::Tensor exponents =
      at::arange(half, at::kFloat) * (-std::log(10000.0) / static_cast<double>(half));
  const at::Tensor angles = times.to(at::kFloat).unsqueeze(1) * exponents.exp().unsqueeze(0);  // (B, half)
  return at::cat({angles.cos(), angles.sin()}, 1);
}

}  // namespace lathe
