#pragma once
// Convolutions and group norms over pictures (B, C, H, W), values of a place side by side (channels last):
// what oneDNN's bf16 kernels read without a reordering. Single-device; precision is the parameters' dtype.
#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <cstdint>

namespace lathe {

class Convolution : public torch::nn::Module {
 public:
  // A kernel of side x side, `padding` zeros around; every `stride`-th place.
  struct Shape {
    std::int64_t in = 0, out = 0, side = 3, stride = 1, padding = 1;
  };
  Convolution(const Shape& shape, at::ScalarType dtype);
  at::Tensor forward(const at::Tensor& x) const;

  at::Tensor weight, bias;  // (out, in, side, side), (out)

 private:
  std::int64_t stride_, padding_;
};

// Norm over the places and channels of each of `groups` groups (Wu and He, arXiv 1803.08494).
class GroupNorm : public torch::nn::Module {
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
