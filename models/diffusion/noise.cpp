#include "models/diffusion/noise.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <span>

namespace lathe {

at::Tensor normal_noise(const RandomKey& key, at::IntArrayRef shape) {
  at::Tensor values = at::empty(shape, at::kFloat);
  RandomStream(key).fill_normal(
      0, std::span(values.data_ptr<float>(), static_cast<std::size_t>(values.numel())));
  return values;
}

}  // namespace lathe
