#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include "models/ops/launch.h"
#include "models/ops/ops.h"

namespace lathe {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct SwigluFunction : torch::autograd::Function<SwigluFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& gate, const at::Tensor& up) {
    const kernels::OpKernels& table = kernels_for(gate, "swiglu");
    const at::Tensor dense_gate = gate.contiguous(), dense_up = alike(up, gate);
    at::Tensor out = at::empty_like(dense_gate);
    kernels::Swiglu args{};
    args.gate = dense_gate.const_data_ptr();
    args.up = dense_up.const_data_ptr();
    args.out = out.data_ptr();
    parallel_ranges(out.numel(), kElementGrain,
                    [&](std::int64_t begin, std::int64_t end) { table.swiglu_forward(args, begin, end); });
    ctx->save_for_backward({dense_gate, dense_up});
    return out;
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &gate = saved[0], &up = saved[1];
    const kernels::OpKernels& table = kernels_for(gate, "swiglu");
    const at::Tensor dout = alike(gradients[0], gate);
    at::Tensor dgate = at::empty_like(gate), dup = at::empty_like(up);
    const kernels::Swiglu args{.gate = gate.const_data_ptr(),
                               .up = up.const_data_ptr(),
                               .out = nullptr,
                               .dout = dout.const_data_ptr(),
                               .dgate = dgate.data_ptr(),
                               .dup = dup.data_ptr()};
    parallel_ranges(gate.numel(), kElementGrain,
                    [&](std::int64_t begin, std::int64_t end) { table.swiglu_backward(args, begin, end); });
    return {dgate, dup};
  }
};

// x * sigmoid(linear * x + cubic * x^3).
struct GeluFunction : torch::autograd::Function<GeluFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, double linear, double cubic) {
    const kernels::OpKernels& table = kernels_for(x, "gelu");
    const at::Tensor dense = x.contiguous(), out = at::empty_like(dense);
    const kernels::Gelu args{.x = dense.const_data_ptr(),
                             .out = out.mutable_data_ptr(),
                             .dout = nullptr,
                             .dx = nullptr,
                             .linear = static_cast<float>(linear),
                             .cubic = static_cast<float>(cubic)};
    parallel_ranges(out.numel(), kElementGrain,
                    [&](std::int64_t begin, std::int64_t end) { table.gelu_forward(args, begin, end); });
    ctx->save_for_backward({dense});
    ctx->saved_data["linear"] = linear;
    ctx->saved_data["cubic"] = cubic;
    return out;
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const at::Tensor x = ctx->get_saved_variables()[0];
    const kernels::OpKernels& table = kernels_for(x, "gelu");
    const at::Tensor dout = alike(gradients[0], x), dx = at::empty_like(x);
    const kernels::Gelu args{.x = x.const_data_ptr(),
                             .out = nullptr,
                             .dout = dout.const_data_ptr(),
                             .dx = dx.mutable_data_ptr(),
                             .linear = static_cast<float>(ctx->saved_data["linear"].toDouble()),
                             .cubic = static_cast<float>(ctx->saved_data["cubic"].toDouble())};
    parallel_ranges(x.numel(), kElementGrain,
                    [&](std::int64_t begin, std::int64_t end) { table.gelu_backward(args, begin, end); });
    return {dx, at::Tensor(), at::Tensor()};
  }
};

// Turns each pair (i, i + D/2) of x (N, H, D) by its position's angle times direction.
at::Tensor turn(const at::Tensor& x, const variable_list& tables, float direction) {
  const kernels::OpKernels& table = kernels_for(x, "rotary");
  const std::int64_t rows = x.size(0), heads = x.size(1), size = x.size(2);
  const bool rows_apart = x.stride(2) == 1 && x.stride(1) == size;  // a slice of a wider projection
  const at::Tensor source = rows_apart ? x : x.contiguous();
  at::Tensor out = at::empty({rows, heads, size}, x.options());
  const kernels::Rotary args{.x = source.const_data_ptr(),
                             .cos = tables[0].const_data_ptr<float>(),
                             .sin = tables[1].const_data_ptr<float>(),
                             .positions = tables[2].const_data_ptr<std::int64_t>(),
                             .out = out.data_ptr(),
                             .row_stride = source.stride(0),
                             .heads = heads,
                             .half = size / 2,
                             .direction = direction};
  parallel_ranges(rows, row_grain(heads * size),
                  [&](std::int64_t begin, std::int64_t end) { table.rotary(args, begin, end); });
  return out;
}

struct RotaryFunction : torch::autograd::Function<RotaryFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& cos,
                            const at::Tensor& sin, const at::Tensor& positions) {
    const variable_list tables{cos.contiguous(), sin.contiguous(), positions.contiguous()};
    ctx->save_for_backward(tables);
    return turn(x, tables, 1);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    return {turn(gradients[0], ctx->get_saved_variables(), -1), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up) {
  require_shape(up, gate.sizes(), "swiglu", "up");
  return SwigluFunction::apply(gate, up);
}

// 1 + tanh(z) = 2 sigmoid(2 z) with z = sqrt(2 / pi) (x + 0.044715 x^3).
at::Tensor gelu_tanh(const at::Tensor& x) {
  constexpr double kLinear = 1.5957691216057308;
  return GeluFunction::apply(x, kLinear, kLinear * 0.044715);
}

at::Tensor gelu_quick(const at::Tensor& x) { return GeluFunction::apply(x, 1.702, 0.0); }

at::Tensor rotary(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin,
                  const at::Tensor& positions) {
  require(x.dim() == 3 && x.size(2) % 2 == 0, "rotary: x should have shape (N, H, even D), found ",
          x.sizes());
  require_shape(positions, {x.size(0)}, "rotary", "positions");
  require_shape(cos, {cos.size(0), x.size(2) / 2}, "rotary", "cos");
  require_shape(sin, cos.sizes(), "rotary", "sin");
  require(cos.scalar_type() == at::kFloat && sin.scalar_type() == at::kFloat &&
              positions.scalar_type() == at::kLong,
          "rotary: float32 tables and int64 positions are wanted");
  return RotaryFunction::apply(x, cos, sin, positions);
}

}  // namespace lathe
