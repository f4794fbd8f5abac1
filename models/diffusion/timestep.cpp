#include "models/diffusion/timestep.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/constant_pad_nd.h>

#include <cmath>

namespace lathe {

at::Tensor timestep_embedding(const at::Tensor& times, std::int64_t channels, const TimestepOrder& order) {
  const std::int64_t half = channels / 2;
  // Rounded where diffusers rounds: at time 1000 an angle's last bit is 3e-5.
  const at::Tensor exponents =
      at::arange(half, at::kFloat) * -std::log(10000.0) / (static_cast<double>(half) - order.freq_shift);
  const at::Tensor angles = times.to(at::kFloat).unsqueeze(1) * exponents.exp().unsqueeze(0);  // (B, half)
  const at::Tensor cosines = angles.cos(), sines = angles.sin();
  const at::Tensor waves = order.cosines_first ? at::cat({cosines, sines}, 1) : at::cat({sines, cosines}, 1);
  return channels % 2 == 0 ? waves : at::constant_pad_nd(waves, {0, 1});
}

}  // namespace lathe
