#include "models/layers/frozen_product.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <ATen/core/ivalue.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "models/layers/weight_gradient.h"
#include "models/ops/launch.h"
#include "models/ops/ops.h"
#include "recipes/schema/error.h"

namespace lathe {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr std::int64_t kCachePiece = 1 << 16;   // elements that stay in a core's second-level cache
constexpr std::int64_t kMemoryPiece = 1 << 23;  // elements widened at once for many rows

struct Matrices : torch::CustomClassHolder {
  std::vector<FrozenMatrix> parts;
};
using Held = c10::intrusive_ptr<Matrices>;

std::int64_t rows_of(const FrozenMatrix& part) {
  return part.quantised ? part.quantised->rows : part.blocks ? part.blocks->rows : part.values.size(0);
}
std::int64_t columns_of(const FrozenMatrix& part) {
  return part.quantised ? part.quantised->columns : part.blocks ? part.blocks->columns : part.values.size(1);
}

at::Tensor dense(const Matrices& matrices, at::ScalarType type) {
  const FrozenMatrix& first = matrices.parts[0];
  if (matrices.parts.size() == 1) return made_dense(first, type);
  std::int64_t rows = 0;
  for (const FrozenMatrix& part : matrices.parts) rows += rows_of(part);
  const at::Tensor all = at::empty({rows, columns_of(first)}, type);
  std::int64_t begin = 0;
  for (const FrozenMatrix& part : matrices.parts) {
    const at::Tensor target = all.narrow(0, begin, rows_of(part));
    part.quantised ? nf4_dequantise(*part.quantised, target)
                   : static_cast<void>(target.copy_(part.blocks ? part.blocks->dense() : part.values));
    begin += rows_of(part);
  }
  return all;
}

struct FrozenProduct : torch::autograd::Function<FrozenProduct> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const Held& matrices) {
    const at::AutoDispatchBelowADInplaceOrView below;
    ctx->saved_data["matrices"] = c10::IValue::make_capsule(matrices);
    const FrozenMatrix& first = matrices->parts[0];
    const bool widens = matrices->parts.size() == 1 && !first.quantised &&
                        (first.blocks || first.values.scalar_type() != x.scalar_type());
    if (widens) return widened_product(x, first);
    const at::Tensor weight = dense(*matrices, x.scalar_type());
    at::Tensor out = spaced_rows(x, x.size(0), weight.size(0));
    product_into(out, x, weight.t());
    return out;
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const auto matrices =
        c10::static_intrusive_pointer_cast<Matrices>(ctx->saved_data["matrices"].toCapsule());
    const at::Tensor& gradient = gradients[0];
    return {product(gradient, dense(*matrices, gradient.scalar_type())), at::Tensor()};
  }
};

// Backward through both factors at once: the gradient of x is one product as well.
struct AdaptedProduct : torch::autograd::Function<AdaptedProduct> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const Held& matrices,
                            const at::Tensor& a, const at::Tensor& b, double scaling) {
    const at::AutoDispatchBelowADInplaceOrView below;
    const at::Tensor low = product(x, a.t(), {scaling, {}});  // (N, r)
    ctx->save_for_backward({x, a, b, low});
    ctx->saved_data["matrices"] = c10::IValue::make_capsule(matrices);
    ctx->saved_data["scaling"] = scaling;
    return product(x, dense(*matrices, x.scalar_type()).t(), {1, {}, low, b.t()});
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &a = saved[1], &b = saved[2], &low = saved[3], &gradient = gradients[0];
    const auto matrices =
        c10::static_intrusive_pointer_cast<Matrices>(ctx->saved_data["matrices"].toCapsule());
    const at::Tensor narrow = product(gradient, b, {ctx->saved_data["scaling"].toDouble(), {}});  // (N, r)
    variable_list result(5);
    if (ctx->needs_input_grad(0))
      result[0] = product(gradient, dense(*matrices, gradient.scalar_type()), {1, {}, narrow, a});
    // Inputs that are no tensors count for nothing in needs_input_grad.
    if (ctx->needs_input_grad(1)) result[2] = transposed_product(narrow, x);
    if (ctx->needs_input_grad(2)) result[3] = transposed_product(gradient, low);
    return result;
  }
};

}  // namespace

at::Tensor BlockMatrix::dense(std::int64_t begin, std::int64_t count) const {
  const at::Tensor out = at::empty({count, columns}, at::kFloat);
  float* values = out.mutable_data_ptr<float>();
  parallel_ranges(count, std::max<std::int64_t>(1, kCachePiece / std::max<std::int64_t>(1, columns)),
                  [&](std::int64_t first, std::int64_t last) {
                    read(begin + first, last - first, values + first * columns);
                  });
  return out;
}

FrozenMatrix dense_matrix(const at::Tensor& values) { return {nullptr, nullptr, values}; }

at::Tensor made_dense(const FrozenMatrix& matrix, at::ScalarType type) {
  require(matrix.defined(), "a frozen matrix has no values yet");
  if (matrix.quantised) return nf4_dequantised(*matrix.quantised, type);
  return (matrix.blocks ? matrix.blocks->dense() : matrix.values).to(type);
}

at::Tensor held_values(const at::Tensor& values, at::ScalarType type) {
  const bool narrower =
      type == at::kFloat && (values.scalar_type() == at::kBFloat16 || values.scalar_type() == at::kHalf);
  return narrower ? values : values.to(type);
}

at::Tensor frozen_product(const at::Tensor& x, const std::vector<FrozenMatrix>& matrices) {
  const Held held = c10::make_intrusive<Matrices>();
  for (const FrozenMatrix& matrix : matrices) require(matrix.defined(), "a frozen Linear has no weight yet");
  held->parts = matrices;
  return FrozenProduct::apply(x, held);
}

bool can_adapt(const at::Tensor& x, const FrozenMatrix& matrix) {
  return matrix.quantised || (!matrix.blocks && matrix.values.scalar_type() == x.scalar_type());
}

at::Tensor adapted_product(const at::Tensor& x, const FrozenMatrix& matrix, const at::Tensor& a,
                           const at::Tensor& b, double scaling) {
  const Held held = c10::make_intrusive<Matrices>();
  held->parts = {matrix};
  return AdaptedProduct::apply(x, held, a, b, scaling);
}

at::Tensor widened_product(const at::Tensor& x, const FrozenMatrix& matrix) {
  const std::int64_t count = rows_of(matrix), columns = std::max<std::int64_t>(1, columns_of(matrix));
  const at::Tensor out = at::empty({x.size(0), count}, x.options());
  const auto piece = [&](std::int64_t begin, std::int64_t rows) {
    at::Tensor target = out.narrow(1, begin, rows);
    const at::Tensor some =
        matrix.blocks ? matrix.blocks->dense(begin, rows) : matrix.values.narrow(0, begin, rows);
    at::mm_out(target, x, some.to(x.scalar_type()).t());
  };
  if (x.size(0) < kFewRows) {  // bound by memory: each core reads its rows once, in their own type
    const std::int64_t step = std::max<std::int64_t>(1, kCachePiece / columns);
    parallel_ranges((count + step - 1) / step, 1, [&](std::int64_t first, std::int64_t last) {
      const at::NoGradGuard no_grad;
      for (std::int64_t i = first; i < last; ++i) piece(i * step, std::min(step, count - i * step));
    });
    return out;
  }
  const std::int64_t step = std::max<std::int64_t>(1, kMemoryPiece / columns);
  for (std::int64_t begin = 0; begin < count; begin += step) piece(begin, std::min(step, count - begin));
  return out;
}

}  // namespace lathe
