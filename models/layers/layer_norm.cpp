#include "models/layers/layer_norm.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

namespace lathe {

LayerNorm::LayerNorm(std::int64_t channels, double eps, at::ScalarType dtype) : eps_(eps) {
  weight = register_parameter("weight", at::ones({channels}, dtype));
  bias = register_parameter("bias", at::zeros({channels}, dtype));
}

at::Tensor LayerNorm::forward(const at::Tensor& x) const {
  return at::layer_norm(x, weight.sizes(), weight, bias, eps_);
}

}  // namespace lathe
