#include "models/decoder/checkpointing.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>
#include <utility>

namespace lathe {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Recipe : torch::CustomClassHolder {
  Recipe(std::shared_ptr<Block> b, std::shared_ptr<const Pass> p) : block(std::move(b)), pass(std::move(p)) {}
  std::shared_ptr<Block> block;
  std::shared_ptr<const Pass> pass;
};

// The block's parameters are inputs of the function, so their gradients flow out of it like any others: hooks
// fire once, and nothing is accumulated inside the nested pass.
class CheckpointedBlock : public torch::autograd::Function<CheckpointedBlock> {
 public:
  static variable_list forward(AutogradContext* ctx, const at::Tensor& residual,
                               const std::optional<at::Tensor>& branch, at::TensorList parameters,
                               const c10::intrusive_ptr<Recipe>& recipe) {
    const Stream in = {residual, branch.value_or(at::Tensor())};
    ctx->save_for_backward({in.residual, in.branch});
    ctx->saved_data["recipe"] = c10::IValue::make_capsule(recipe);
    ctx->saved_data["parameters"] = static_cast<std::int64_t>(parameters.size());
    const at::NoGradGuard no_grad;
    const Stream out = recipe->block->forward(in, *recipe->pass);
    return {out.residual, out.branch};
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const auto recipe = c10::static_intrusive_pointer_cast<Recipe>(ctx->saved_data["recipe"].toCapsule());
    variable_list saved = ctx->get_saved_variables();
    variable_list inputs;  // what gradients are asked for
    const auto leaf = [&](const at::Tensor& x) {
      if (!x.defined()) return x;
      at::Tensor copy = x.detach();
      copy.set_requires_grad(x.requires_grad());
      if (x.requires_grad()) inputs.push_back(copy);
      return copy;
    };
    const at::AutoGradMode with_grad(true);
    const Stream in = {leaf(saved[0]), leaf(saved[1])};
    const std::size_t streams = inputs.size();
    const auto parameters = recipe->block->parameters();
    for (const at::Tensor& p : parameters) {
      if (p.requires_grad()) inputs.push_back(p);
    }
    const Stream out = recipe->block->forward(in, *recipe->pass);
    variable_list roots, root_gradients;
    const auto root = [&](const at::Tensor& x, const at::Tensor& gradient) {
      if (!gradient.defined() || !x.requires_grad()) return;
      roots.push_back(x);
      root_gradients.push_back(gradient);
    };
    root(out.residual, gradients[0]);
    root(out.branch, gradients[1]);
    const variable_list found =
        torch::autograd::grad(roots, inputs, root_gradients, /*retain_graph=*/std::nullopt,
                              /*create_graph=*/false, /*allow_unused=*/true);
    variable_list result;
    std::size_t next = 0;
    for (const at::Tensor& x : {in.residual, in.branch}) {
      result.push_back(x.defined() && x.requires_grad() ? found[next++] : at::Tensor());
    }
    next = streams;
    for (const at::Tensor& p : parameters) result.push_back(p.requires_grad() ? found[next++] : at::Tensor());
    result.emplace_back();  // recipe
    return result;
  }
};

}  // namespace

Stream checkpointed(const std::shared_ptr<Block>& block, const Stream& stream,
                    const std::shared_ptr<const Pass>& pass) {
  const std::optional<at::Tensor> branch =
      stream.branch.defined() ? std::optional(stream.branch) : std::nullopt;
  const variable_list parameters = block->parameters();
  const variable_list out = CheckpointedBlock::apply(stream.residual, branch, at::TensorList(parameters),
                                                     c10::make_intrusive<Recipe>(block, pass));
  return {out[0], out[1]};
}

}  // namespace lathe
