#pragma once
// LayerNorm (arXiv 1607.06450) with weight and bias over the last dimension. Single-device; precision is the
// parameters' dtype.
#include <ATen/core/Tensor.h>

#include <cstdint>

#include "models/layers/module.h"

namespace lathe {

class LayerNorm : public Module {
 public:
  LayerNorm(std::int64_t channels, double eps, at::ScalarType dtype);
  at::Tensor forward(const at::Tensor& x) const;  // (..., C) -> the same

  at::Tensor weight, bias;  // (C)

 private:
  double eps_;
};

}  // namespace lathe
