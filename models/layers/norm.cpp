#include "models/layers/norm.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/full.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/zeros.h>

#include "models/ops/ops.h"
#include "recipes/schema/error.h"

namespace lathe {

Norm::Norm(const DecoderSpec& spec, std::int64_t channels, at::ScalarType dtype)
    : kind_(spec.norm), eps_(spec.norm_eps), offset_(spec.norm_offset) {
  require(kind_ == NormKind::RMSNorm || offset_ == 0, "LayerNorm has no offset of its weight");
  weight = register_parameter("weight", at::full({channels}, 1 - offset_, dtype));
  if (spec.norm_bias) bias = register_parameter("bias", at::zeros({channels}, dtype));
}

at::Tensor Norm::forward(const at::Tensor& x) const {
  if (kind_ == NormKind::LayerNorm) return at::layer_norm(x, weight.sizes(), weight, bias, eps_);
  const at::Tensor y = rms_norm(x, weight, eps_, offset_);
  return bias.defined() ? y + bias : y;
}

std::pair<at::Tensor, at::Tensor> Norm::add(const at::Tensor& residual, const at::Tensor& branch) const {
  if (!branch.defined()) return {residual, forward(residual)};
  if (kind_ == NormKind::RMSNorm && !bias.defined())
    return add_rms_norm(residual, branch, weight, eps_, offset_);
  const at::Tensor sum = residual + branch;
  return {sum, forward(sum)};
}

}  // namespace lathe
