#include "models/diffusion/unet_2d.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/silu.h>

#include <cmath>

#include "models/diffusion/cross_transformer.h"
#include "models/diffusion/initialise.h"
#include "models/diffusion/timestep.h"
#include "models/layers/module.h"
#include "recipes/schema/error.h"

namespace lathe {

UNet2D::UNet2D(const UNet2DSpec& spec, at::ScalarType dtype) : spec_(spec), dtype_(dtype) {
  const std::int64_t first = spec.block_out_channels.front(), time = spec.time_channels();
  const UNetBlockOptions options{time, spec.norm_num_groups, spec.norm_eps, 1, dtype};
  const auto convolution = [&](const char* name, std::int64_t in, std::int64_t out) {
    return register_module(name,
                           std::make_shared<Convolution>(Convolution::Shape{.in = in, .out = out}, dtype));
  };
  input_ = convolution("conv_in", spec.in_channels, first);
  time_first_ =
      register_at(*this, "time_embedding.linear_1", std::make_shared<Linear>(first, time, true, dtype));
  time_second_ =
      register_at(*this, "time_embedding.linear_2", std::make_shared<Linear>(time, time, true, dtype));
  if (spec.num_class_embeds > 0)
    classes_ =
        register_module("class_embedding", std::make_shared<Embedding>(spec.num_class_embeds, time, dtype));
  add_way_down(options);
  UNetBlockOptions mid = options;
  mid.output_scale = spec.mid_block_scale_factor;
  if (spec.middle)
    middle_ = register_module(
        "mid_block", std::make_shared<MiddleBlock>(
                         spec.block_out_channels.back(),
                         spec.mid_attention ? make_attention(spec.levels() - 1, mid) : nullptr, mid));
  add_way_up(options);
  output_norm_ = register_module(
      "conv_norm_out", std::make_shared<GroupNorm>(spec.norm_num_groups, first, spec.norm_eps, dtype));
  output_ = convolution("conv_out", first, spec.out_channels);
}

std::shared_ptr<PictureAttention> UNet2D::make_attention(std::size_t level,
                                                         const UNetBlockOptions& options) const {
  const std::int64_t channels = spec_.block_out_channels[level];
  if (spec_.cross)
    return std::make_shared<CrossTransformer>(channels, spec_.cross->heads[level], *spec_.cross, options);
  return std::make_shared<PlaceAttention>(channels, spec_.attention_head_dim, options);
}

void UNet2D::add_way_down(const UNetBlockOptions& options) {
  std::int64_t before = spec_.block_out_channels.front();
  for (std::size_t i = 0; i < spec_.levels(); ++i) {
    const std::string name = cat("down_blocks.", i, ".");
    const std::int64_t channels = spec_.block_out_channels[i];
    Level level;
    for (std::int64_t k = 0; k < spec_.layers_per_block; ++k) {
      level.resnets.push_back(
          register_at(*this, cat(name, "resnets.", k),
                      std::make_shared<ResnetBlock>(k == 0 ? before : channels, channels, options)));
      if (spec_.down_attention[i])
        level.attentions.push_back(
            register_at(*this, cat(name, "attentions.", k), make_attention(i, options)));
    }
    if (i + 1 < spec_.levels())
      level.halve = register_at(*this, name + "downsamplers.0",
                                std::make_shared<HalveSide>(channels, spec_.downsample_padding, dtype_));
    down_.push_back(std::move(level));
    before = channels;
  }
}

void UNet2D::add_way_up(const UNetBlockOptions& options) {
  for (std::size_t i = 0; i < spec_.levels(); ++i) {
    const std::string name = cat("up_blocks.", i, ".");
    const std::int64_t channels = spec_.up_channels(i);
    Level level;
    for (std::int64_t k = 0; k <= spec_.layers_per_block; ++k) {
      const auto [below, kept] = spec_.up_input(i, k);
      level.resnets.push_back(register_at(*this, cat(name, "resnets.", k),
                                          std::make_shared<ResnetBlock>(below + kept, channels, options)));
      if (spec_.up_attention[i])
        level.attentions.push_back(
            register_at(*this, cat(name, "attentions.", k), make_attention(spec_.levels() - 1 - i, options)));
    }
    if (i + 1 < spec_.levels())
      level.twice = register_at(*this, name + "upsamplers.0", std::make_shared<DoubleSide>(channels, dtype_));
    up_.push_back(std::move(level));
  }
}

at::Tensor UNet2D::Level::step(std::size_t layer, const at::Tensor& x, const Told& told) const {
  const at::Tensor y = resnets[layer]->forward(x, told.time);
  return attentions.empty() ? y : attentions[layer]->forward(y, told.context);
}

at::Tensor UNet2D::condition(const at::Tensor& times, const at::Tensor& classes) const {
  const TimestepOrder order{spec_.flip_sin_to_cos, spec_.freq_shift};
  const at::Tensor waves = timestep_embedding(times, spec_.block_out_channels.front(), order).to(dtype_);
  at::Tensor sum = time_second_->forward(at::silu(time_first_->forward(waves)));
  if (classes_) {
    require(classes.defined() && classes.size(0) == times.size(0), "a network of ", spec_.num_class_embeds,
            " classes is told the class of every picture");
    sum = sum + classes_->forward(classes);
  }
  return at::silu(sum);
}

at::Tensor UNet2D::forward(const at::Tensor& pictures, const at::Tensor& times, const at::Tensor& classes,
                           const at::Tensor& context) const {
  const std::int64_t smallest = spec_.smallest_side();
  require(pictures.size(2) % smallest == 0 && pictures.size(3) % smallest == 0, "a picture of ",
          pictures.size(2), " x ", pictures.size(3), " cannot be halved ", spec_.levels() - 1,
          " times; its sides are multiples of ", smallest);
  require(!spec_.cross || (context.defined() && context.dim() == 3 && context.size(0) == pictures.size(0) &&
                           context.size(2) == spec_.cross->context_channels),
          "a network that reads texts is told one for every picture, tokens of ",
          spec_.cross ? spec_.cross->context_channels : 0, " channels");
  const Told told{condition(times, classes), spec_.cross ? context.to(dtype_) : at::Tensor()};
  at::Tensor x = pictures.to(dtype_).contiguous(at::MemoryFormat::ChannelsLast);
  x = input_->forward(spec_.center_input_sample ? 2 * x - 1 : x);
  std::vector<at::Tensor> kept{x};
  for (const Level& level : down_) {
    for (std::size_t k = 0; k < level.resnets.size(); ++k) kept.push_back(x = level.step(k, x, told));
    if (level.halve) kept.push_back(x = level.halve->forward(x));
  }
  if (middle_) x = middle_->forward(x, told.time, told.context);
  for (const Level& level : up_) {
    for (std::size_t k = 0; k < level.resnets.size(); ++k) {
      x = level.step(k, at::cat({x, kept.back()}, 1), told);
      kept.pop_back();
    }
    if (level.twice) x = level.twice->forward(x);
  }
  return output_->forward(output_norm_->forward(x, true));
}

void UNet2D::initialise(std::uint64_t seed) {
  const at::NoGradGuard no_grad;
  auto parameters = named_parameters();
  std::uint32_t site = 0;
  for (const ParameterInfo& info : unet_2d_parameters(spec_)) {
    at::Tensor& parameter = parameters[info.name];
    const RandomStream stream({seed, Purpose::Initialise, site++, 0, 0});
    const std::string& name = info.name;
    const auto ends_branch = [&] {
      return name.ends_with("conv2.weight") || name.ends_with("to_out.0.weight") ||
             name.ends_with("proj_out.weight") || name == "conv_out.weight";
    };
    if (info.shape.size() == 1 && name.ends_with(".weight"))
      parameter.fill_(1);  // norms
    else if (info.shape.size() == 1 || ends_branch())
      parameter.zero_();
    else if (name == "class_embedding.weight")
      fill_uniform(parameter, stream, std::sqrt(3.0));
    else
      fill_uniform(parameter, stream, xavier_bound(parameter));
  }
}

}  // namespace lathe
