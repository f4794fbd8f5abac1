#include "models/layers/convolution.h"

#include <ATen/ATen.h>

#include "models/ops/ops.h"

namespace lathe {

Convolution::Convolution(const Shape& shape, at::ScalarType dtype)
    : stride_(shape.stride), padding_(shape.padding) {
  weight = register_parameter("weight", at::zeros({shape.out, shape.in, shape.side, shape.side}, dtype));
  bias = register_parameter("bias", at::zeros({shape.out}, dtype));
}

at::Tensor Convolution::forward(const at::Tensor& x) const {
  return at::conv2d(x, weight, bias, stride_, padding_);
}

GroupNorm::GroupNorm(std::int64_t groups, std::int64_t channels, double eps, at::ScalarType dtype)
    : groups_(groups), eps_(eps) {
  weight = register_parameter("weight", at::ones({channels}, dtype));
  bias = register_parameter("bias", at::zeros({channels}, dtype));
}

at::Tensor GroupNorm::forward(const at::Tensor& x, bool silu) const {
  return group_norm(x, weight, bias, {groups_, eps_, silu});
}

}  // namespace lathe
