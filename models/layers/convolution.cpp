#include "models/layers/convolution.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

#include "models/adapters/adapter.h"
#include "models/ops/ops.h"
#include "recipes/schema/error.h"

namespace lathe {

Convolution::Convolution(const Shape& shape, at::ScalarType dtype)
    : stride_(shape.stride), padding_(shape.padding) {
  weight = register_parameter("weight", at::zeros({shape.out, shape.in, shape.side, shape.side}, dtype));
  bias = register_parameter("bias", at::zeros({shape.out}, dtype));
}

at::Tensor Convolution::forward(const at::Tensor& x) const {
  const at::Tensor y = at::conv2d(x, weight, bias, stride_, padding_);
  return adapter_ ? adapter_->apply_convolution(x, y, stride_, padding_) : y;
}

void Convolution::adapt(const std::shared_ptr<Adapter>& adapter) {
  require(!adapter_, "a Convolution has an adapter already");
  adapter->hold_in(*this);
  adapter_ = adapter;
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
