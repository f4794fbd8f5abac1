#include "models/adapters/adapter.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>

#include "data/random/philox.h"
#include "models/layers/frozen_product.h"
#include "models/ops/ops.h"
#include "recipes/schema/error.h"

namespace lathe {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// kaiming_uniform(a = sqrt(5)) of (r, in ...): uniform in +-1 / sqrt(inputs).
void initialise_factor(const at::Tensor& factor, std::uint64_t seed, std::uint32_t site) {
  const at::Tensor values = at::empty(factor.sizes(), at::kFloat);
  const double bound = 1 / std::sqrt(static_cast<double>(factor[0].numel()));
  const RandomStream stream({.seed = seed, .purpose = Purpose::Adapter, .site = site});
  auto* out = values.data_ptr<float>();
  for (std::int64_t i = 0; i < values.numel(); ++i) {
    out[i] = static_cast<float>((2 * stream.uniform(static_cast<std::uint64_t>(i)) - 1) * bound);
  }
  factor.copy_(values);
}

// Row norms of W + s B A without building it: |W|^2 + 2 s rows(W A^T * B) + s^2 rows(B (A A^T) * B).
at::Tensor merged_norms(const at::Tensor& weight, const at::Tensor& a, const at::Tensor& b, double scaling) {
  const at::Tensor w = weight.to(at::kFloat), fa = a.to(at::kFloat), fb = b.to(at::kFloat);
  const at::Tensor own = w.square().sum(1), cross = (at::mm(w, fa.t()) * fb).sum(1);
  const at::Tensor low = (at::mm(fb, at::mm(fa, fa.t())) * fb).sum(1);
  return (own + 2 * scaling * cross + scaling * scaling * low).clamp_min(0).sqrt();
}

// y + s (x A^T) B^T. x (N, in), y (N, out), A (r, in), B (out, r).
struct LowRankSum : torch::autograd::Function<LowRankSum> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& y,
                            const at::Tensor& a, const at::Tensor& b, double scaling) {
    const at::AutoDispatchBelowADInplaceOrView below;
    const at::Tensor low = product(x, a.t());  // (N, r)
    ctx->save_for_backward({x, a, b, low});
    ctx->saved_data["scaling"] = scaling;
    return product(low, b.t(), {scaling, y});
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &a = saved[1], &b = saved[2], &low = saved[3], &gradient = gradients[0];
    const double scaling = ctx->saved_data["scaling"].toDouble();
    const at::Tensor narrow = product(gradient, b, {scaling, {}});  // (N, r)
    variable_list result(5);
    if (ctx->needs_input_grad(0)) result[0] = product(narrow, a);
    if (ctx->needs_input_grad(1)) result[1] = gradient;
    if (ctx->needs_input_grad(2)) result[2] = transposed_product(narrow, x);
    if (ctx->needs_input_grad(3)) result[3] = transposed_product(gradient, low, scaling);
    return result;
  }
};

}  // namespace

double AdapterSpec::scaling() const {
  const auto r = static_cast<double>(rank);
  return alpha / (rank_stabilised ? std::sqrt(r) : r);
}

Adapter::Adapter(const AdapterSpec& spec, const at::Tensor& weight, std::uint64_t seed, std::uint32_t site)
    : spec_(spec), site_(site) {
  const at::NoGradGuard no_grad;
  const std::int64_t inputs = weight.numel() / weight.size(0);
  require(spec.rank >= 1 && spec.rank <= std::min(weight.size(0), inputs), "adapter.rank ", spec.rank,
          " is more than a matrix of ", weight.size(0), " x ", inputs, " has; lower it");
  const auto type = weight.scalar_type() == at::kFloat ? at::kFloat : at::kBFloat16;
  std::vector<std::int64_t> down = weight.sizes().vec(), up(down.size(), 1);
  down[0] = up[1] = spec.rank;
  up[0] = weight.size(0);
  a = at::empty(down, type);
  b = at::zeros(up, type);
  initialise_factor(a, seed, site);
  if (spec.kind == AdapterKind::Dora) magnitude = weight.to(at::kFloat).norm(2, 1).to(type);
}

bool Adapter::drops() const { return pass && pass->training && spec_.dropout > 0; }

at::Tensor Adapter::dropped(const at::Tensor& x) const {
  if (!drops()) return x;
  // Sites of adapters stand behind those of the blocks' own dropout.
  return counter_dropout(x, spec_.dropout, {pass->seed, pass->step, (std::uint32_t{1} << 24) + site_},
                         pass->stretches);
}

at::Tensor Adapter::apply(const at::Tensor& x, const at::Tensor& y, const at::Tensor& weight,
                          const at::Tensor& bias) const {
  return finished(
      LowRankSum::apply(dropped(x), y, a, b, spec_.scaling()), [&] { return weight; }, bias);
}

at::Tensor Adapter::apply(const at::Tensor& x, const FrozenMatrix& matrix, const at::Tensor& bias) const {
  const bool at_once = can_adapt(x, matrix) && a.scalar_type() == x.scalar_type() && !drops();
  const at::Tensor sum =
      at_once ? adapted_product(x, matrix, a, b, spec_.scaling())
              : LowRankSum::apply(dropped(x), frozen_product(x, {matrix}), a, b, spec_.scaling());
  return finished(
      sum, [&] { return made_dense(matrix, x.scalar_type()); }, bias);
}

at::Tensor Adapter::finished(const at::Tensor& sum, const std::function<at::Tensor()>& weight,
                             const at::Tensor& bias) const {
  at::Tensor result = sum;
  if (magnitude.defined()) {
    at::Tensor norms;
    {
      const at::NoGradGuard no_grad;  // the norm is a constant of the step (section 4.3 of the paper)
      norms = merged_norms(weight(), a, b, spec_.scaling());
    }
    result = result * (magnitude / norms.to(magnitude.scalar_type()));
  }
  return bias.defined() ? result + bias : result;
}

at::Tensor Adapter::apply_convolution(const at::Tensor& x, const at::Tensor& y, std::int64_t stride,
                                      std::int64_t padding) const {
  return y + spec_.scaling() * at::conv2d(at::conv2d(x, a, {}, stride, padding), b);
}

void Adapter::hold_in(Module& module) {
  const auto hold = [&](const char* name, at::Tensor& tensor) {
    const auto holder = module.register_module(name, std::make_shared<Module>());
    tensor = holder->register_parameter("weight", tensor);
  };
  hold("lora_A", a);
  hold("lora_B", b);
  if (magnitude.defined()) hold("lora_magnitude_vector", magnitude);
}

at::Tensor Adapter::merged(const at::Tensor& weight) const {
  const auto wide = [](const at::Tensor& t) { return t.defined() ? t.detach().to(at::kFloat) : t; };
  return merge_weight(wide(weight), wide(a), wide(b), wide(magnitude), spec_.scaling());
}

at::Tensor merge_weight(const at::Tensor& weight, const at::Tensor& a, const at::Tensor& b,
                        const at::Tensor& magnitude, double scaling) {
  const at::NoGradGuard no_grad;
  const at::Tensor sum = at::addmm(weight.flatten(1), b.flatten(1), a.flatten(1), 1, scaling).view_as(weight);
  if (!magnitude.defined()) return sum;
  return sum * (magnitude / sum.norm(2, 1)).unsqueeze(1);
}

}  // namespace lathe
