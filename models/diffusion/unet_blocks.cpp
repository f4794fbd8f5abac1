#include "models/diffusion/unet_blocks.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/upsample_nearest2d.h>

#include "models/layers/module.h"
#include "models/ops/ops.h"

namespace lathe {

namespace {

std::shared_ptr<Convolution> convolution(std::int64_t in, std::int64_t out, at::ScalarType dtype) {
  return std::make_shared<Convolution>(Convolution::Shape{.in = in, .out = out}, dtype);
}

at::Tensor scaled(const at::Tensor& sum, double scale) { return scale == 1 ? sum : sum / scale; }

}  // namespace

ResnetBlock::ResnetBlock(std::int64_t in, std::int64_t out, const UNetBlockOptions& options)
    : output_scale_(options.output_scale) {
  const auto norm = [&](const char* name, std::int64_t channels) {
    return register_module(name,
                           std::make_shared<GroupNorm>(options.groups, channels, options.eps, options.dtype));
  };
  first_norm_ = norm("norm1", in);
  first_ = register_module("conv1", convolution(in, out, options.dtype));
  if (options.time_channels > 0)
    time_ = register_module("time_emb_proj",
                            std::make_shared<Linear>(options.time_channels, out, true, options.dtype));
  second_norm_ = norm("norm2", out);
  second_ = register_module("conv2", convolution(out, out, options.dtype));
  if (in == out) return;
  const Convolution::Shape shape{.in = in, .out = out, .side = 1, .padding = 0};
  shortcut_ = register_module("conv_shortcut", std::make_shared<Convolution>(shape, options.dtype));
}

at::Tensor ResnetBlock::forward(const at::Tensor& x, const at::Tensor& time) const {
  at::Tensor y = first_->forward(first_norm_->forward(x, true));
  if (time_) y = y + time_->forward(time).unsqueeze(2).unsqueeze(3);  // (B, out, 1, 1)
  y = second_->forward(second_norm_->forward(y, true));
  return scaled((shortcut_ ? shortcut_->forward(x) : x) + y, output_scale_);
}

PlaceAttention::PlaceAttention(std::int64_t channels, std::int64_t head_size, const UNetBlockOptions& options)
    : heads_(head_size > 0 ? channels / head_size : 1), output_scale_(options.output_scale) {
  norm_ = register_module("group_norm",
                          std::make_shared<GroupNorm>(options.groups, channels, options.eps, options.dtype));
  const auto linear = [&](const char* path) {
    return register_at(*this, path, std::make_shared<Linear>(channels, channels, true, options.dtype));
  };
  projections_ = LinearGroup({linear("to_q"), linear("to_k"), linear("to_v")});
  output_ = linear("to_out.0");
}

at::Tensor PlaceAttention::forward(const at::Tensor& x, const at::Tensor&) const {
  const std::int64_t batch = x.size(0), channels = x.size(1), places = x.size(2) * x.size(3);
  const auto rows = norm_->forward(x).permute({0, 2, 3, 1}).reshape({batch * places, channels});
  std::vector<at::Tensor> parts = projections_.forward(rows);
  for (at::Tensor& part : parts)
    part = part.unflatten(0, {batch, places}).unflatten(2, {heads_, channels / heads_});  // (B, H * W, h, D)
  const at::Tensor mixed = full_attention(parts[0], parts[1], parts[2]);
  const at::Tensor said = output_->forward(mixed.reshape({batch * places, channels}))
                              .view({batch, x.size(2), x.size(3), channels})
                              .permute({0, 3, 1, 2});
  return scaled(x + said, output_scale_);
}

MiddleBlock::MiddleBlock(std::int64_t channels, std::shared_ptr<PictureAttention> attention,
                         const UNetBlockOptions& options) {
  const auto resnet = [&](const char* path) {
    return register_at(*this, path, std::make_shared<ResnetBlock>(channels, channels, options));
  };
  first_ = resnet("resnets.0");
  if (attention) attention_ = register_at(*this, "attentions.0", std::move(attention));
  second_ = resnet("resnets.1");
}

at::Tensor MiddleBlock::forward(const at::Tensor& x, const at::Tensor& time,
                                const at::Tensor& context) const {
  const at::Tensor y = first_->forward(x, time);
  return second_->forward(attention_ ? attention_->forward(y, context) : y, time);
}

HalveSide::HalveSide(std::int64_t channels, std::int64_t padding, at::ScalarType dtype) : padding_(padding) {
  const Convolution::Shape shape{.in = channels, .out = channels, .stride = 2, .padding = padding};
  conv_ = register_module("conv", std::make_shared<Convolution>(shape, dtype));
}

at::Tensor HalveSide::forward(const at::Tensor& x) const {
  return conv_->forward(padding_ == 0 ? at::constant_pad_nd(x, {0, 1, 0, 1}) : x);
}

DoubleSide::DoubleSide(std::int64_t channels, at::ScalarType dtype) {
  conv_ = register_module("conv", convolution(channels, channels, dtype));
}

at::Tensor DoubleSide::forward(const at::Tensor& x) const {
  return conv_->forward(at::upsample_nearest2d(x, {2 * x.size(2), 2 * x.size(3)}));
}

}  // namespace lathe
