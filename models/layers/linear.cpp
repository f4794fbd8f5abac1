#include "models/layers/linear.h"

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include "models/adapters/adapter.h"
#include "models/layers/group_product.h"
#include "models/layers/weight_gradient.h"
#include "models/ops/nf4.h"
#include "models/ops/ops.h"
#include "recipes/schema/error.h"

namespace lathe {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

std::int64_t out_of(const at::Tensor& weight) { return weight.size(0); }

// What lies side by side in one array already, as one matrix; undefined when they do not.
at::Tensor side_by_side(const variable_list& parts, const std::vector<std::int64_t>& widths) {
  const at::Tensor& first = parts[0];
  std::int64_t before = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const at::Tensor& part = parts[i];
    if (!part.defined() || !part.is_alias_of(first) || part.strides() != first.strides() ||
        part.stride(1) != 1 || part.storage_offset() != first.storage_offset() + before)
      return {};
    before += widths[i];
  }
  return first.stride(0) < before ? at::Tensor() : first.as_strided({first.size(0), before}, first.strides());
}

struct SplitProduct : torch::autograd::Function<SplitProduct> {
  static variable_list forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight,
                               const std::optional<at::Tensor>& bias, at::TensorList parameters) {
    // Below the autograd keys a narrow is a plain tensor, not a tracked view, so every part gets its own
    // history.
    const at::AutoDispatchBelowADInplaceOrView below;
    const at::Tensor all = group_product(ctx, x, weight, bias, parameters);
    const std::size_t parts = bias ? parameters.size() / 2 : parameters.size();
    std::vector<std::int64_t> widths;
    for (std::size_t i = 0; i < parts; ++i) widths.push_back(out_of(parameters[i]));
    ctx->saved_data["widths"] = widths;
    return all.split_with_sizes(widths, 1);
  }
  static variable_list backward(AutogradContext* ctx, variable_list gradients) {
    const at::Tensor x = ctx->get_saved_variables()[0];
    const auto widths = ctx->saved_data["widths"].toIntVector();
    if (const at::Tensor whole = side_by_side(gradients, widths); whole.defined())
      return group_gradients(ctx, whole);
    for (std::size_t i = 0; i < gradients.size(); ++i) {
      if (!gradients[i].defined()) gradients[i] = at::zeros({x.size(0), widths[i]}, x.options());
    }
    return group_gradients(ctx, at::cat(gradients, 1));
  }
};

struct Product : torch::autograd::Function<Product> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight,
                            const std::optional<at::Tensor>& bias) {
    const at::AutoDispatchBelowADInplaceOrView below;
    ctx->save_for_backward({x, weight});
    ctx->saved_data["with_bias"] = bias.has_value();
    return product(x, weight.t(), {1, bias ? *bias : at::Tensor()});
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const variable_list saved = ctx->get_saved_variables();
    variable_list result(3);
    if (ctx->needs_input_grad(0)) result[0] = product(gradients[0], saved[1]);
    if (ctx->needs_input_grad(1)) result[1] = weight_gradient(gradients[0], saved[0]);
    if (ctx->saved_data["with_bias"].toBool() && ctx->needs_input_grad(2)) result[2] = gradients[0].sum(0);
    return result;
  }
};

}  // namespace

at::Tensor group_product(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight,
                         const std::optional<at::Tensor>& bias, at::TensorList parameters) {
  std::vector<std::int64_t> sizes;  // rows of each parameter, weights then biases
  for (const at::Tensor& p : parameters) sizes.push_back(out_of(p));
  ctx->save_for_backward({x, weight});
  ctx->saved_data["sizes"] = sizes;
  ctx->saved_data["with_bias"] = bias.has_value();
  at::Tensor out = spaced_rows(x, x.size(0), out_of(weight));
  product_into(out, x, weight.t(), {1, bias ? *bias : at::Tensor()});
  return out;
}

variable_list group_gradients(AutogradContext* ctx, const at::Tensor& gradient) {
  const variable_list saved = ctx->get_saved_variables();
  const at::Tensor &x = saved[0], &weight = saved[1];
  const auto sizes = ctx->saved_data["sizes"].toIntVector();
  const bool with_bias = ctx->saved_data["with_bias"].toBool();
  variable_list result(3);
  if (ctx->needs_input_grad(0)) result[0] = product(gradient, weight);
  const std::size_t weights = with_bias ? sizes.size() / 2 : sizes.size();
  const auto wanted = [&](std::size_t first, std::size_t last) {  // any of these parameters trained?
    const std::size_t before = with_bias ? 3 : 2;                 // edges of x, weight and bias
    for (std::size_t i = first; i < last; ++i) {
      if (ctx->needs_input_grad(before + i)) return true;
    }
    return false;
  };
  const auto split = [&](const at::Tensor& source, std::size_t first, std::size_t last) {
    std::int64_t begin = 0;
    for (std::size_t i = first; i < last; ++i) {
      result.push_back(source.defined() ? source.narrow(0, begin, sizes[i]) : source);
      begin += sizes[i];
    }
  };
  split(wanted(0, weights) ? weight_gradient(gradient, x) : at::Tensor(), 0, weights);
  split(wanted(weights, sizes.size()) ? gradient.sum(0) : at::Tensor(), weights, sizes.size());
  return result;
}

Linear::Linear(std::int64_t in, std::int64_t out, bool with_bias, const LinearStorage& storage)
    : storage_(storage) {
  const at::TensorOptions options(storage.dtype);
  weight = register_parameter(
      "weight", frozen() ? at::empty({out, in}, options.device(at::kMeta)) : at::zeros({out, in}, options),
      /*requires_grad=*/!frozen());
  if (with_bias) bias = register_parameter("bias", at::zeros({out}, storage.dtype));
}

at::Tensor Linear::forward(const at::Tensor& x) const {
  if (frozen()) {
    if (adapter_) return adapter_->apply(x, matrix_, bias);
    const at::Tensor y = frozen_product(x, {matrix_});
    return bias.defined() ? y + bias : y;
  }
  if (adapter_) return adapter_->apply(x, Product::apply(x, weight, std::nullopt), weight, bias);
  return Product::apply(x, weight, bias.defined() ? std::optional(bias) : std::nullopt);
}

void Linear::hold(const at::Tensor& values) {
  require(frozen(), "a Linear that is not frozen owns its weight");
  require(values.sizes() == weight.sizes(), "a weight of shape ", weight.sizes(), " is wanted, found ",
          values.sizes());
  if (quantised()) {
    matrix_.quantised =
        std::make_shared<const Nf4Matrix>(nf4_quantise(values.contiguous(), storage_.double_quantised));
    return;
  }
  matrix_.values = held_values(values, storage_.dtype);
}

void Linear::own_weight() {
  if (!frozen()) return;
  const at::NoGradGuard no_grad;
  weight = replace_parameter("weight", dense_weight().clone());
  storage_.frozen = storage_.nf4 = false;
  matrix_ = {};
}

void Linear::hold(const std::shared_ptr<const BlockMatrix>& blocks) {
  if (quantised() || !frozen()) return hold(blocks->dense());
  require(blocks->rows == weight.size(0) && blocks->columns == weight.size(1), "a weight of shape ",
          weight.sizes(), " is wanted, found (", blocks->rows, ", ", blocks->columns, ")");
  matrix_.blocks = blocks;
}

at::Tensor Linear::dense_weight() const { return frozen() ? made_dense(matrix_, storage_.dtype) : weight; }

void Linear::adapt(const std::shared_ptr<Adapter>& adapter) {
  require(!adapter_, "a Linear has an adapter already");
  adapter->hold_in(*this);
  adapter_ = adapter;
}

LinearGroup::LinearGroup(std::vector<std::shared_ptr<Linear>> parts) : parts_(std::move(parts)) {
  if (parts_[0]->frozen()) return;
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> weights, biases;
  for (const auto& part : parts_) {
    weights.push_back(part->weight);
    if (part->bias.defined()) biases.push_back(part->bias);
  }
  weight_ = at::cat(weights, 0);
  if (!biases.empty()) bias_ = at::cat(biases, 0);
  std::int64_t begin = 0;
  for (const auto& part : parts_) {
    const std::int64_t width = out_of(part->weight);
    part->weight.set_data(weight_.narrow(0, begin, width));
    if (part->bias.defined()) part->bias.set_data(bias_.narrow(0, begin, width));
    begin += width;
  }
}

GroupTensors LinearGroup::tensors() const {
  GroupTensors result{weight_, std::nullopt, {}};
  for (const auto& part : parts_) {
    require(part->weight.is_alias_of(weight_), "a parameter of a linear group was given another storage");
    result.parameters.push_back(part->weight);
  }
  if (!bias_.defined()) return result;
  result.bias = bias_;
  for (const auto& part : parts_) result.parameters.push_back(part->bias);
  return result;
}

std::vector<at::Tensor> LinearGroup::forward(const at::Tensor& x) const {
  if (parts_.size() == 1 || (parts_[0]->frozen() && !parts_[0]->quantised())) {
    std::vector<at::Tensor> apart;  // as frozen matrices lie in their file
    for (const auto& part : parts_) apart.push_back(part->forward(x));
    return apart;
  }
  if (plain()) {
    const GroupTensors t = tensors();
    return SplitProduct::apply(x, t.weight, t.bias, at::TensorList(t.parameters));
  }
  // An adapter may scale the product, so biases follow it.
  std::vector<at::Tensor> result = products(x);
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    const Linear& part = *parts_[i];
    const auto& adapter = part.adapter();
    if (adapter)
      result[i] = adapter->apply(x, result[i],
                                 adapter->magnitude.defined() ? part.dense_weight() : part.weight, part.bias);
    else if (part.bias.defined())
      result[i] = result[i] + part.bias;
  }
  return result;
}

std::vector<at::Tensor> LinearGroup::products(const at::Tensor& x) const {
  if (!parts_[0]->frozen()) {
    const GroupTensors t = tensors();
    return SplitProduct::apply(x, t.weight, std::nullopt,
                               at::TensorList(t.parameters).slice(0, parts_.size()));
  }
  std::vector<FrozenMatrix> matrices;
  std::vector<std::int64_t> widths;
  for (const auto& part : parts_) {
    matrices.push_back(part->matrix());
    widths.push_back(out_of(part->weight));
  }
  return frozen_product(x, matrices).split_with_sizes(widths, 1);
}

bool LinearGroup::plain() const {
  for (const auto& part : parts_) {
    if (part->adapter() || part->frozen()) return false;
  }
  return true;
}

}  // namespace lathe
