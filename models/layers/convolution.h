#pragma once
// Convolutions and group norms over pictures (B, C, H, W), values of a place side by side (channels last):
// what oneDNN's bf16 kernels read without a reordering. Single-device; precision is the parameters' dtype.
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>

#include "models/layers/module.h"

namespace lathe {

class Adapter;

class Convolution : public Module {
 public:
  // A kernel of side x side, `padding` zeros around; every `stride`-th place.
  struct Shape {
    std::int64_t in = 0, out = 0, side = 3, stride = 1, padding = 1;
  };
  Convolution(const Shape& shape, at::ScalarType dtype);
  at::Tensor forward(const at::Tensor& x) const;
  // Puts a LoRA on the weight, whose parameters get PEFT's names below this module; once.
  void adapt(const std::shared_ptr<Adapter>& adapter);

  at::Tensor weight, bias;  // (out, in, side, side), (out)

 private:
  std::int64_t stride_, padding_;
  std::shared_ptr<Adapter> adapter_;  // null: none
};

// Norm over the places and channels of each of `groups` groups (Wu and He, arXiv 1803.08494).
class GroupNorm : public Module {
 public:
  GroupNorm(std::int64_t groups, std::int64_t channels, double eps, at::ScalarType dtype);
  // With SiLU behind it when asked for.
  at::Tensor forward(const at::Tensor& x, bool silu = false) const;

  at::Tensor weight, bias;  // (C)

 private:
  std::int64_t groups_;
  double eps_;
};

}  // namespace lathe
