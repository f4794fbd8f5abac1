#pragma once
// Rows of a table. The gradient of a row is summed in fp32 over its occurrences, in their order, and rounded
// once.
#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <cstdint>

namespace lathe {

class Embedding : public torch::nn::Module {
 public:
  Embedding(std::int64_t count, std::int64_t channels, at::ScalarType dtype);
  // ids (N) int32 or int64 -> (N, channels).
  at::Tensor forward(const at::Tensor& ids) const;

  at::Tensor weight;  // (count, channels)
};

}  // namespace lathe
