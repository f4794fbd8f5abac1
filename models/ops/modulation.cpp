#include <ATen/core/Tensor.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include "models/ops/launch.h"
#include "models/ops/ops.h"

namespace lathe {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Of x (B, T, C); branch and gate may be undefined. Tensors: x, branch, gate, shift, scale, total, y, mean,
// inverse.
kernels::ModulatedNorm arguments(const variable_list& t, double eps) {
  kernels::ModulatedNorm args{};
  const bool gated = t[1].defined();
  args.x = t[0].const_data_ptr();
  if (gated) {
    args.branch = t[1].const_data_ptr();
    args.gate = t[2].const_data_ptr();
    args.gate_row = t[2].stride(0);
    args.total = t[5].mutable_data_ptr();
  }
  args.shift = t[3].const_data_ptr();
  args.scale = t[4].const_data_ptr();
  args.shift_row = t[3].stride(0);
  args.scale_row = t[4].stride(0);
  args.y = t[6].defined() ? t[6].mutable_data_ptr() : nullptr;
  args.mean = t[7].data_ptr<float>();
  args.inverse = t[8].data_ptr<float>();
  args.tokens = t[0].size(1);
  args.channels = t[0].size(2);
  args.eps = static_cast<float>(eps);
  return args;
}

// A row for each picture, rows possibly a slice of a wider projection.
at::Tensor rows_dense(const at::Tensor& row, const at::Tensor& x, const char* name) {
  require_shape(row, {x.size(0), x.size(2)}, "modulated_norm", name);
  const at::Tensor alike_x = row.to(x.scalar_type());
  return alike_x.stride(1) == 1 ? alike_x : alike_x.contiguous();
}

variable_list forward(AutogradContext* ctx, const variable_list& inputs, double eps) {
  const at::AutoDispatchBelowADInplaceOrView below;
  const at::Tensor x = inputs[0].contiguous();
  const bool gated = inputs[1].defined();
  const kernels::OpKernels& table = kernels_for(x, "modulated_norm");
  variable_list t{x,
                  gated ? alike(inputs[1], x) : at::Tensor(),
                  gated ? rows_dense(inputs[2], x, "gate") : at::Tensor(),
                  rows_dense(inputs[3], x, "shift"),
                  rows_dense(inputs[4], x, "scale"),
                  gated ? at::empty_like(x) : at::Tensor(),
                  at::empty_like(x),
                  at::empty({x.size(0), x.size(1)}, at::kFloat),
                  at::empty({x.size(0), x.size(1)}, at::kFloat)};
  const kernels::ModulatedNorm args = arguments(t, eps);
  parallel_ranges(x.size(0), row_grain(x.size(1) * x.size(2)), [&](std::int64_t begin, std::int64_t end) {
    table.modulated_norm_forward(args, begin, end);
  });
  ctx->saved_data["eps"] = eps;
  ctx->save_for_backward({gated ? t[5] : x, t[1], t[2], t[4], t[7], t[8]});
  return t;
}

// Gradients of x, branch, gate, shift and scale; `dtotal` is what reached x + gate * branch past the norm, or
// undefined.
variable_list backward(AutogradContext* ctx, const at::Tensor& dy, const at::Tensor& dtotal) {
  const variable_list saved = ctx->get_saved_variables();
  const at::Tensor& x = saved[0];
  const bool gated = saved[1].defined();
  const at::Tensor dense_dy = alike(dy, x), dense_dtotal = dtotal.defined() ? alike(dtotal, x) : dtotal;
  const auto row = [&] { return at::empty({x.size(0), x.size(2)}, x.options()); };
  variable_list result{at::empty_like(x), gated ? at::empty_like(x) : at::Tensor(),
                       gated ? row() : at::Tensor(), row(), row()};
  const at::Tensor sums = at::empty({x.size(0), 3, x.size(2)}, at::kFloat);
  const kernels::OpKernels& table = kernels_for(x, "modulated_norm");
  const auto memory = [](const at::Tensor& t) { return t.defined() ? t.mutable_data_ptr() : nullptr; };
  const kernels::ModulatedNormBackward args{
      .forward = arguments({x, saved[1], saved[2], saved[3], saved[3], x, {}, saved[4], saved[5]},
                           ctx->saved_data["eps"].toDouble()),
      .dy = dense_dy.const_data_ptr(),
      .dtotal = memory(dense_dtotal),
      .dx = memory(result[0]),
      .dbranch = memory(result[1]),
      .dgate = memory(result[2]),
      .dshift = memory(result[3]),
      .dscale = memory(result[4]),
      .sums = sums.data_ptr<float>()};
  parallel_ranges(x.size(0), row_grain(x.size(1) * x.size(2)), [&](std::int64_t begin, std::int64_t end) {
    table.modulated_norm_backward(args, begin, end);
  });
  return result;
}

struct ModulatedNorm : torch::autograd::Function<ModulatedNorm> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& shift,
                            const at::Tensor& scale, double eps) {
    return lathe::forward(ctx, {x, {}, {}, shift, scale}, eps)[6];
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const variable_list all = lathe::backward(ctx, gradients[0], {});
    return {all[0], all[3], all[4], at::Tensor()};
  }
};

struct AddModulatedNorm : torch::autograd::Function<AddModulatedNorm> {
  static variable_list forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& branch,
                               const at::Tensor& gate, const at::Tensor& shift, const at::Tensor& scale,
                               double eps) {
    const variable_list all = lathe::forward(ctx, {x, branch, gate, shift, scale}, eps);
    ctx->set_materialize_grads(false);
    return {all[5], all[6]};
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const at::Tensor& dtotal = gradients[0];
    const at::Tensor dy = gradients[1].defined() ? gradients[1] : at::zeros_like(dtotal);
    variable_list all = lathe::backward(ctx, dy, dtotal);
    all.emplace_back();  // eps
    return all;
  }
};

}  // namespace

at::Tensor modulated_norm(const at::Tensor& x, const Modulation& by) {
  require(x.dim() == 3, "modulated_norm: x should have shape (B, T, C), found ", x.sizes());
  return ModulatedNorm::apply(x, by.shift, by.scale, by.eps);
}

std::pair<at::Tensor, at::Tensor> add_modulated_norm(const at::Tensor& x, const at::Tensor& branch,
                                                     const at::Tensor& gate, const Modulation& by) {
  require(x.dim() == 3, "modulated_norm: x should have shape (B, T, C), found ", x.sizes());
  require_shape(branch, x.sizes(), "modulated_norm", "branch");
  const variable_list out = AddModulatedNorm::apply(x, branch, gate, by.shift, by.scale, by.eps);
  return {out[0], out[1]};
}

}  // namespace lathe
