#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cosh.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/tanh.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "models/objectives/causal_lm.h"
#include "models/objectives/token_loss.h"
#include "models/ops/launch.h"
#include "models/ops/ops.h"

namespace lathe {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Logits of a chunk take about this much memory; fewer tokens than kMinimumChunk would spend the time on
// adding up the weight's gradient instead.
constexpr std::int64_t kChunkBytes = std::int64_t{32} << 20;
constexpr std::int64_t kMinimumChunk = 256;

struct HeadResult {
  at::Tensor losses;            // (N) fp32
  at::Tensor dhidden, dweight;  // of the sum of losses; undefined when not asked for
  at::Tensor drows;             // of some rows of the weight, fp32
};

struct HeadRule {
  bool want_hidden = false, want_weight = false;
  double softcap = 0;
  std::int64_t first_row = 0, rows = 0;  // of a frozen weight whose gradient is wanted
  bool any() const { return want_hidden || want_weight || rows > 0; }
};

std::int64_t chunk_size(std::int64_t vocabulary, std::int64_t element_size) {
  return std::max(kMinimumChunk, kChunkBytes / (vocabulary * element_size));
}

void softmax_loss(const at::Tensor& logits, const at::Tensor& targets, const at::Tensor& losses,
                  const at::Tensor& gradient) {
  const kernels::OpKernels& table = kernels_for(logits, "linear_cross_entropy");
  const kernels::SoftmaxLoss args{.logits = logits.const_data_ptr(),
                                  .gradient = gradient.defined() ? gradient.data_ptr() : nullptr,
                                  .targets = targets.const_data_ptr<std::int64_t>(),
                                  .losses = losses.data_ptr<float>(),
                                  .vocabulary = logits.size(1)};
  parallel_ranges(logits.size(0), 1,
                  [&](std::int64_t begin, std::int64_t end) { table.softmax_loss(args, begin, end); });
}

// The losses of a chunk; with a gradient, it takes the place of the scores.
void chunk_loss(const at::Tensor& scores, const at::Tensor& targets, const at::Tensor& losses,
                const HeadRule& rule) {
  const bool wanted = rule.any();
  if (rule.softcap <= 0) return softmax_loss(scores, targets, losses, wanted ? scores : at::Tensor());
  const at::Tensor share = scores.to(at::kFloat) / rule.softcap;
  const at::Tensor capped = (at::tanh(share) * rule.softcap).to(scores.scalar_type());
  softmax_loss(capped, targets, losses, wanted ? scores : at::Tensor());
  if (wanted)
    scores.mul_(at::cosh(share).square().reciprocal());  // 1 - tanh^2, exact where that would cancel
}

// One chunk of tokens after another: logits, then their gradient in place, then the two products that use it.
HeadResult run_head(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& targets,
                    const HeadRule& rule) {
  const bool want_hidden = rule.want_hidden, want_weight = rule.want_weight;
  const std::int64_t tokens = hidden.size(0), vocabulary = weight.size(0);
  const std::int64_t chunk = std::min(tokens, chunk_size(vocabulary, hidden.element_size()));
  HeadResult result{at::empty({tokens}, at::kFloat), {}, {}, {}};
  if (want_hidden) result.dhidden = at::empty_like(hidden);
  if (want_weight)
    result.dweight = tokens == 0 ? at::zeros_like(weight) : at::empty(weight.sizes(), at::kFloat);
  if (rule.rows > 0) result.drows = at::zeros({rule.rows, weight.size(1)}, at::kFloat);
  at::Tensor logits = at::empty({chunk, vocabulary}, hidden.options());
  const at::Tensor transposed = weight.t();
  for (std::int64_t begin = 0; begin < tokens; begin += chunk) {
    const std::int64_t count = std::min(chunk, tokens - begin);
    const at::Tensor part = hidden.narrow(0, begin, count);
    at::Tensor scores = logits.narrow(0, 0, count);
    product_into(scores, part, transposed);
    chunk_loss(scores, targets.narrow(0, begin, count), result.losses.narrow(0, begin, count), rule);
    if (want_hidden) {
      at::Tensor out = result.dhidden.narrow(0, begin, count);
      product_into(out, scores, weight);
    }
    if (rule.rows > 0)
      result.drows.addmm_(scores.narrow(1, rule.first_row, rule.rows).t().to(at::kFloat),
                          part.to(at::kFloat));
    if (!want_weight) continue;
    transposed_product_into(result.dweight, scores, part, begin > 0);
  }
  return result;
}

// The gradients are ready when the loss is (Liger's scheme); backward only scales them.
struct LinearCrossEntropy : torch::autograd::Function<LinearCrossEntropy> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& hidden, const at::Tensor& weight,
                            const KeptTargets& targets, HeadRule rule,
                            const std::optional<at::Tensor>& rows) {
    const at::Tensor& kept = targets.rows;
    const bool want_hidden = rule.want_hidden = rule.want_hidden && hidden.requires_grad();
    const bool want_weight = rule.want_weight = rule.want_weight && weight.requires_grad();
    const bool some = kept.defined();
    const at::Tensor used = some ? hidden.index_select(0, kept) : hidden;
    HeadResult result = run_head(used, weight, targets.targets, rule);
    if (want_hidden && some) {
      result.dhidden = at::zeros_like(hidden).index_copy_(0, kept, result.dhidden);
    }
    if (want_weight) result.dweight = result.dweight.to(weight.scalar_type());
    if (rows) result.drows = result.drows.to(rows->scalar_type());
    ctx->saved_data["drows"] = result.drows;
    ctx->saved_data["dhidden"] = result.dhidden;
    ctx->saved_data["dweight"] = result.dweight;
    return result.losses.sum(at::kDouble).to(at::kFloat);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const double scale = gradients[0].item<double>();
    require(ctx->saved_data.count("dhidden") == 1,
            "linear_cross_entropy: backward ran twice; the gradients are gone");
    const auto take = [&](const char* name) {
      c10::IValue value = std::move(ctx->saved_data[name]);
      ctx->saved_data.erase(name);  // so that the leaf may keep the tensor instead of copying it
      at::Tensor gradient = value.isTensor() ? std::move(value).toTensor() : at::Tensor();
      return !gradient.defined() || scale == 1 ? gradient : gradient.mul_(scale);
    };
    at::Tensor dhidden = take("dhidden");
    at::Tensor dweight = take("dweight");
    return {dhidden, dweight, at::Tensor(), at::Tensor(), take("drows")};
  }
};

}  // namespace

at::Tensor linear_cross_entropy(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& targets,
                                double softcap, const TokenRows& rows) {
  require(hidden.dim() == 2 && weight.dim() == 2 && hidden.size(1) == weight.size(1),
          "linear_cross_entropy: hidden (N, C) and weight (V, C) are wanted, found ", hidden.sizes(), " and ",
          weight.sizes());
  require_shape(targets, {hidden.size(0)}, "linear_cross_entropy", "targets");
  const KeptTargets kept = kept_targets(targets, weight.size(0));
  const bool differentiable = at::GradMode::is_enabled();
  const bool some = differentiable && rows.values.defined();
  const HeadRule rule{differentiable, differentiable, softcap, rows.begin, some ? rows.values.size(0) : 0};
  return LinearCrossEntropy::apply(hidden.contiguous(), weight.contiguous(), kept, rule,
                                   some ? std::optional(rows.values) : std::nullopt);
}

at::Tensor linear_token_losses(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& targets,
                               double softcap) {
  const at::NoGradGuard no_grad;
  const KeptTargets kept = kept_targets(targets, weight.size(0));
  const at::Tensor dense = hidden.contiguous();
  const HeadResult result = run_head(kept.rows.defined() ? dense.index_select(0, kept.rows) : dense,
                                     weight.contiguous(), kept.targets, {false, false, softcap, 0, 0});
  if (!kept.rows.defined()) return result.losses;
  return at::zeros({hidden.size(0)}, at::kFloat).index_copy_(0, kept.rows, result.losses);
}

KeptTargets kept_targets(const at::Tensor& targets, std::int64_t vocabulary) {
  const at::Tensor wide = targets.to(at::kLong).contiguous();
  const auto* values = wide.const_data_ptr<std::int64_t>();
  std::vector<std::int64_t> rows;
  rows.reserve(static_cast<std::size_t>(wide.numel()));
  for (std::int64_t i = 0; i < wide.numel(); ++i) {
    if (values[i] == kIgnoreTarget) continue;
    require(values[i] >= 0 && values[i] < vocabulary, "linear_cross_entropy: target ", i, " is ", values[i],
            ", outside the vocabulary of ", vocabulary);
    rows.push_back(i);
  }
  if (static_cast<std::int64_t>(rows.size()) == wide.numel()) return {{}, wide};
  const at::Tensor kept = at::tensor(rows, at::kLong);
  return {kept, wide.index_select(0, kept)};
}

}  // namespace lathe
