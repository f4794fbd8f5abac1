#include "models/layers/linear.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>

#include "recipes/schema/error.h"

namespace lathe {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// One product for several linears. inputs: x, weights of the parts, then their biases (when they have them).
class GroupedLinear : public torch::autograd::Function<GroupedLinear> {
 public:
  static variable_list forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight,
                               const std::optional<at::Tensor>& bias, at::TensorList parameters,
                               const std::vector<std::int64_t>& widths) {
    // Below the autograd keys a narrow is a plain tensor, not a tracked view, so every part gets its own history.
    const at::AutoDispatchBelowADInplaceOrView below;
    ctx->save_for_backward({x, weight});
    ctx->saved_data["widths"] = widths;
    ctx->saved_data["parameters"] = static_cast<std::int64_t>(parameters.size());
    const at::Tensor all = bias ? at::addmm(*bias, x, weight.t()) : at::mm(x, weight.t());
    variable_list parts;
    std::int64_t begin = 0;
    for (const std::int64_t width : widths) {
      parts.push_back(all.narrow(1, begin, width));
      begin += width;
    }
    return parts;
  }

  static variable_list backward(AutogradContext* ctx, variable_list gradients) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1];
    const auto widths = ctx->saved_data["widths"].toIntVector();
    const bool with_bias = ctx->saved_data["parameters"].toInt() > static_cast<std::int64_t>(widths.size());
    for (std::size_t i = 0; i < gradients.size(); ++i) {
      if (!gradients[i].defined()) gradients[i] = at::zeros({x.size(0), widths[i]}, x.options());
    }
    const at::Tensor all = at::cat(gradients, 1);  // (N, sum of out)
    variable_list result = {ctx->needs_input_grad(0) ? at::mm(all, weight) : at::Tensor(), at::Tensor(),
                            at::Tensor()};
    const at::Tensor weight_gradient = at::mm(all.t(), x);
    split_into(result, weight_gradient, widths);
    if (with_bias) split_into(result, all.sum(0), widths);
    result.emplace_back();  // widths
    return result;
  }

 private:
  static void split_into(variable_list& result, const at::Tensor& all, const std::vector<std::int64_t>& widths) {
    std::int64_t begin = 0;
    for (const std::int64_t width : widths) {
      result.push_back(all.narrow(0, begin, width));
      begin += width;
    }
  }
};

}  // namespace

Linear::Linear(std::int64_t in, std::int64_t out, bool with_bias, at::ScalarType dtype) {
  weight = register_parameter("weight", at::zeros({out, in}, dtype));
  if (with_bias) bias = register_parameter("bias", at::zeros({out}, dtype));
}

at::Tensor Linear::forward(const at::Tensor& x) const { return at::linear(x, weight, bias); }

LinearGroup::LinearGroup(std::vector<std::shared_ptr<Linear>> parts) : parts_(std::move(parts)) {
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
    const std::int64_t width = part->weight.size(0);
    part->weight.set_data(weight_.narrow(0, begin, width));
    if (part->bias.defined()) part->bias.set_data(bias_.narrow(0, begin, width));
    begin += width;
  }
}

std::vector<at::Tensor> LinearGroup::forward(const at::Tensor& x) const {
  variable_list parameters;
  std::vector<std::int64_t> widths;
  for (const auto& part : parts_) {
    require(part->weight.is_alias_of(weight_), "a parameter of a linear group was given another storage");
    parameters.push_back(part->weight);
    widths.push_back(part->weight.size(0));
  }
  for (const auto& part : parts_) {
    if (part->bias.defined()) parameters.push_back(part->bias);
  }
  const std::optional<at::Tensor> bias = bias_.defined() ? std::optional(bias_) : std::nullopt;
  return GroupedLinear::apply(x, weight_, bias, at::TensorList(parameters), widths);
}

}  // namespace lathe
