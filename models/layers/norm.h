#pragma once
// RMSNorm (arXiv 1910.07467) or LayerNorm (arXiv 1607.06450) over channels, alone or fused with the residual
// addition before it.
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <utility>

#include "models/layers/module.h"
#include "checkpoints/bundle/spec.h"

namespace lathe {

class Norm : public Module {
 public:
  Norm(const DecoderSpec& spec, at::ScalarType dtype) : Norm(spec, spec.hidden_size, dtype) {}
  Norm(const DecoderSpec& spec, std::int64_t channels, at::ScalarType dtype);
  // x (N, C) -> (N, C).
  at::Tensor forward(const at::Tensor& x) const;
  // (residual + branch, its norm); an undefined branch adds nothing.
  std::pair<at::Tensor, at::Tensor> add(const at::Tensor& residual, const at::Tensor& branch) const;

  at::Tensor weight, bias;  // (C); bias undefined without

 private:
  NormKind kind_;
  double eps_, offset_;
};

}  // namespace lathe
