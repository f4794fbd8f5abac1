#include "models/diffusion/cross_transformer.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/gelu.h>

#include "models/layers/module.h"
#include "models/ops/ops.h"
#include "recipes/schema/error.h"

namespace lathe {

namespace {

// Fixed by diffusers, whatever norm_eps is.
constexpr double kGroupEps = 1e-6, kLayerEps = 1e-5;
constexpr std::int64_t kWider = 4;  // of the feed-forward part

}  // namespace

CrossBlock::CrossBlock(std::int64_t channels, std::int64_t heads, std::int64_t context_channels,
                       at::ScalarType dtype)
    : channels_(channels), heads_(heads) {
  own_ = make_attention("attn1.", channels, dtype);
  text_ = make_attention("attn2.", context_channels, dtype);
  for (int i = 0; i < 3; ++i)
    norms_[i] = register_module(cat("norm", i + 1), std::make_shared<LayerNorm>(channels, kLayerEps, dtype));
  wide_ = register_at(*this, "ff.net.0.proj",
                      std::make_shared<Linear>(channels, 2 * kWider * channels, true, dtype));
  narrow_ =
      register_at(*this, "ff.net.2", std::make_shared<Linear>(kWider * channels, channels, true, dtype));
}

CrossBlock::Attention CrossBlock::make_attention(const std::string& name, std::int64_t context_channels,
                                                 at::ScalarType dtype) {
  const auto linear = [&](const char* part, std::int64_t in, bool bias) {
    return register_at(*this, name + part, std::make_shared<Linear>(in, channels_, bias, dtype));
  };
  const bool own = name == "attn1.";
  const auto query = linear("to_q", channels_, false);
  const auto key = linear("to_k", context_channels, false), value = linear("to_v", context_channels, false);
  const auto output = linear("to_out.0", channels_, true);
  if (own) return {nullptr, LinearGroup({query, key, value}), output};
  return {query, LinearGroup({key, value}), output};
}

at::Tensor CrossBlock::attend(const Attention& attention, const at::Tensor& rows, const at::Tensor& context,
                              std::int64_t batch) const {
  std::vector<at::Tensor> parts = attention.projections.forward(context);
  if (attention.query) parts.insert(parts.begin(), attention.query->forward(rows));
  for (at::Tensor& part : parts)
    part =
        part.unflatten(0, {batch, -1}).unflatten(2, {heads_, channels_ / heads_});  // (B, P or S, h, C / h)
  return attention.output->forward(full_attention(parts[0], parts[1], parts[2]).reshape(rows.sizes()));
}

at::Tensor CrossBlock::forward(const at::Tensor& x, const at::Tensor& context) const {
  const std::int64_t batch = context.size(0);
  const at::Tensor own = norms_[0]->forward(x);
  at::Tensor y = x + attend(own_, own, own, batch);
  y = y + attend(text_, norms_[1]->forward(y), context.flatten(0, 1), batch);
  const auto halves = wide_->forward(norms_[2]->forward(y)).chunk(2, 1);  // GEGLU, arXiv 2002.05202
  return y + narrow_->forward(halves[0] * at::gelu(halves[1]));
}

CrossTransformer::CrossTransformer(std::int64_t channels, std::int64_t heads, const CrossAttentionSpec& spec,
                                   const UNetBlockOptions& options) {
  const at::ScalarType dtype = options.dtype;
  norm_ = register_module("norm", std::make_shared<GroupNorm>(options.groups, channels, kGroupEps, dtype));
  const auto linear = [&](const char* name) {
    return register_module(name, std::make_shared<Linear>(channels, channels, true, dtype));
  };
  const auto point = [&](const char* name) {
    const Convolution::Shape shape{.in = channels, .out = channels, .side = 1, .padding = 0};
    return register_module(name, std::make_shared<Convolution>(shape, dtype));
  };
  if (spec.linear_projection)
    linear_in_ = linear("proj_in");
  else
    conv_in_ = point("proj_in");
  for (std::int64_t i = 0; i < spec.layers; ++i)
    blocks_.push_back(
        register_at(*this, cat("transformer_blocks.", i),
                    std::make_shared<CrossBlock>(channels, heads, spec.context_channels, dtype)));
  if (spec.linear_projection)
    linear_out_ = linear("proj_out");
  else
    conv_out_ = point("proj_out");
}

at::Tensor CrossTransformer::forward(const at::Tensor& x, const at::Tensor& context) const {
  const std::int64_t batch = x.size(0), channels = x.size(1);
  at::Tensor y = norm_->forward(x);
  if (conv_in_) y = conv_in_->forward(y);
  at::Tensor rows = y.permute({0, 2, 3, 1}).reshape({-1, channels});  // (B * P, C)
  if (linear_in_) rows = linear_in_->forward(rows);
  for (const auto& block : blocks_) rows = block->forward(rows, context);
  if (linear_out_) rows = linear_out_->forward(rows);
  y = rows.view({batch, x.size(2), x.size(3), channels}).permute({0, 3, 1, 2});
  return (conv_out_ ? conv_out_->forward(y) : y) + x;
}

}  // namespace lathe
