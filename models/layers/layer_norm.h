#pragma once
// LayerNorm (arXiv 1607.06450) with weight and bias over the last dimension. Single-device; precision is the
// parameters' dtype.
#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <cstdint>

namespace lathe {

class LayerNorm : public torch::nn::Module {
 public:
  LayerNorm(std::int64_t channels, double eps, at::ScalarType dtype);
  at::Tensor forward(const at::Tensor& x) const;  // (..., C) -> the same

  at::Tensor weight, bias;  // (C)

 private:
  double eps_;
};

}  // namespace lathe
