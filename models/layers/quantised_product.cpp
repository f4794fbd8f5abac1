#include "models/layers/quantised_product.h"

#include <ATen/ATen.h>
#include <ATen/core/ivalue.h>
#include <torch/csrc/autograd/custom_function.h>

#include "models/layers/weight_gradient.h"
#include "models/ops/ops.h"
#include "recipes/schema/error.h"

namespace lathe {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Matrices : torch::CustomClassHolder {
  std::vector<std::shared_ptr<const Nf4Matrix>> parts;
};
using Held = c10::intrusive_ptr<Matrices>;

at::Tensor dense(const Matrices& matrices, at::ScalarType type) {
  std::int64_t rows = 0;
  for (const auto& part : matrices.parts) rows += part->rows;
  const at::Tensor all = at::empty({rows, matrices.parts[0]->columns}, type);
  std::int64_t begin = 0;
  for (const auto& part : matrices.parts) {
    nf4_dequantise(*part, all.narrow(0, begin, part->rows));
    begin += part->rows;
  }
  return all;
}

struct QuantisedProduct : torch::autograd::Function<QuantisedProduct> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const Held& matrices) {
    const at::AutoDispatchBelowADInplaceOrView below;
    ctx->saved_data["matrices"] = c10::IValue::make_capsule(matrices);
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

}  // namespace

at::Tensor quantised_product(const at::Tensor& x,
                             const std::vector<std::shared_ptr<const Nf4Matrix>>& matrices) {
  for (const auto& matrix : matrices) require(matrix != nullptr, "a quantised Linear has no weight yet");
  const Held held = c10::make_intrusive<Matrices>();
  held->parts = matrices;
  return QuantisedProduct::apply(x, held);
}

}  // namespace lathe
