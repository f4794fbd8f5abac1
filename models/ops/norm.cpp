#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include "models/ops/launch.h"
#include "models/ops/ops.h"

namespace lathe {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Partial sums of dweight cover a fixed number of rows, so that the result does not depend on the threads.
constexpr std::int64_t kRowsAPart = 64;

struct Normalised {
  at::Tensor total, y, inverse_rms;
};

Normalised forward(const at::Tensor& x, const at::Tensor& branch, const at::Tensor& weight, double eps,
                   double offset) {
  const kernels::OpKernels& table = kernels_for(x, "rms_norm");
  const std::int64_t rows = x.size(0), channels = x.size(1);
  Normalised result{{}, at::empty_like(x), at::empty({rows}, at::kFloat)};
  kernels::NormForward args{.x = x.const_data_ptr(),
                            .branch = nullptr,
                            .weight = weight.const_data_ptr(),
                            .total = nullptr,
                            .y = result.y.data_ptr(),
                            .inverse_rms = result.inverse_rms.data_ptr<float>(),
                            .channels = channels,
                            .eps = static_cast<float>(eps),
                            .offset = static_cast<float>(offset)};
  if (branch.defined()) {
    result.total = at::empty_like(x);
    args.branch = branch.const_data_ptr();
    args.total = result.total.data_ptr();
  }
  parallel_ranges(rows, row_grain(channels),
                  [&](std::int64_t begin, std::int64_t end) { table.norm_forward(args, begin, end); });
  return result;
}

// Gradients of x and weight; `dtotal` is what reached x + branch past the norm, or undefined.
std::pair<at::Tensor, at::Tensor> backward(AutogradContext* ctx, const at::Tensor& dy,
                                           const at::Tensor& dtotal) {
  const variable_list saved = ctx->get_saved_variables();
  const at::Tensor &x = saved[0], &weight = saved[1], &inverse_rms = saved[2];
  const kernels::OpKernels& table = kernels_for(x, "rms_norm");
  const std::int64_t rows = x.size(0), channels = x.size(1);
  const std::int64_t parts = (rows + kRowsAPart - 1) / kRowsAPart;
  const at::Tensor dense_dy = alike(dy, x);
  const at::Tensor dense_dtotal = dtotal.defined() ? alike(dtotal, x) : at::Tensor();
  at::Tensor dx = at::empty_like(x);
  const at::Tensor partial = at::empty({parts, channels}, at::kFloat);
  const kernels::NormBackward shared{.x = x.const_data_ptr(),
                                     .weight = weight.const_data_ptr(),
                                     .inverse_rms = inverse_rms.const_data_ptr<float>(),
                                     .dy = dense_dy.const_data_ptr(),
                                     .dtotal = dtotal.defined() ? dense_dtotal.const_data_ptr() : nullptr,
                                     .dx = dx.data_ptr(),
                                     .dweight = nullptr,
                                     .channels = channels,
                                     .offset = static_cast<float>(ctx->saved_data["offset"].toDouble())};
  float* sums = partial.data_ptr<float>();
  parallel_ranges(parts, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t part = begin; part < end; ++part) {
      kernels::NormBackward args = shared;
      args.dweight = sums + part * channels;
      table.norm_backward(args, part * kRowsAPart, std::min(rows, (part + 1) * kRowsAPart));
    }
  });
  for (std::int64_t part = 1; part < parts; ++part)
    for (std::int64_t c = 0; c < channels; ++c) sums[c] += sums[part * channels + c];
  const at::Tensor dweight = parts == 0 ? at::zeros({channels}, at::kFloat) : partial.select(0, 0);
  const auto type = static_cast<at::ScalarType>(ctx->saved_data["weight_type"].toInt());
  return {dx, dweight.to(weight.scalar_type(), /*non_blocking=*/false, /*copy=*/true).to(type)};
}

void keep(AutogradContext* ctx, const at::Tensor& weight, double offset) {
  ctx->saved_data["weight_type"] = static_cast<std::int64_t>(weight.scalar_type());
  ctx->saved_data["offset"] = offset;
}

struct RmsNorm : torch::autograd::Function<RmsNorm> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight, double eps,
                            double offset) {
    const at::Tensor dense = x.contiguous();
    const at::Tensor scale = alike(weight, x);
    Normalised result = lathe::forward(dense, {}, scale, eps, offset);
    ctx->save_for_backward({dense, scale, result.inverse_rms});
    keep(ctx, weight, offset);
    return result.y;
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const auto [dx, dweight] = lathe::backward(ctx, gradients[0], {});
    return {dx, dweight, at::Tensor(), at::Tensor()};
  }
};

struct AddRmsNorm : torch::autograd::Function<AddRmsNorm> {
  static variable_list forward(AutogradContext* ctx, const at::Tensor& residual, const at::Tensor& branch,
                               const at::Tensor& weight, double eps, double offset) {
    const at::Tensor scale = alike(weight, residual);
    Normalised result = lathe::forward(residual.contiguous(), alike(branch, residual), scale, eps, offset);
    ctx->set_materialize_grads(false);
    ctx->save_for_backward({result.total, scale, result.inverse_rms});
    keep(ctx, weight, offset);
    return {result.total, result.y};
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const at::Tensor &dtotal = gradients[0], &dy = gradients[1];
    if (!dy.defined()) return {dtotal, dtotal, at::Tensor(), at::Tensor(), at::Tensor()};
    const auto [dx, dweight] = lathe::backward(ctx, dy, dtotal);
    return {dx, dx, dweight, at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps, double offset) {
  require(x.dim() == 2, "rms_norm: x should have two dimensions, found shape ", x.sizes());
  require_shape(weight, {x.size(1)}, "rms_norm", "weight");
  return RmsNorm::apply(x, weight, eps, offset);
}

std::pair<at::Tensor, at::Tensor> add_rms_norm(const at::Tensor& residual, const at::Tensor& branch,
                                               const at::Tensor& weight, double eps, double offset) {
  require(residual.dim() == 2, "add_rms_norm: two dimensions are wanted, found shape ", residual.sizes());
  require_shape(branch, residual.sizes(), "add_rms_norm", "branch");
  require_shape(weight, {residual.size(1)}, "add_rms_norm", "weight");
  const variable_list results = AddRmsNorm::apply(residual, branch, weight, eps, offset);
  return {results[0], results[1]};
}

}  // namespace lathe
