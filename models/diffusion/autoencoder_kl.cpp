#include "models/diffusion/autoencoder_kl.h"

#include <ATen/core/Tensor.h>

#include "models/layers/module.h"
#include "recipes/schema/error.h"

namespace lathe {

namespace {

constexpr double kEps = 1e-6;

std::shared_ptr<Convolution> convolution(Module& root, const std::string& path,
                                         const Convolution::Shape& shape, at::ScalarType dtype) {
  return register_at(root, path, std::make_shared<Convolution>(shape, dtype));
}

at::Tensor channels_last(const at::Tensor& x, at::ScalarType dtype) {
  return x.to(dtype).contiguous(at::MemoryFormat::ChannelsLast);
}

}  // namespace

AutoencoderKL::AutoencoderKL(const AutoencoderSpec& spec, at::ScalarType dtype) : spec_(spec), dtype_(dtype) {
  const UNetBlockOptions options{0, spec.norm_num_groups, kEps, 1, dtype};
  add_encoder(options);
  add_decoder(options);
  const std::int64_t latent = spec.latent_channels;
  const auto point = [&](const char* name, std::int64_t channels) {
    return convolution(*this, name, {.in = channels, .out = channels, .side = 1, .padding = 0}, dtype);
  };
  if (spec.quant_conv) moments_ = point("quant_conv", 2 * latent);
  if (spec.post_quant_conv) latents_ = point("post_quant_conv", latent);
}

std::shared_ptr<PictureAttention> AutoencoderKL::mid_attention(std::int64_t channels,
                                                               const UNetBlockOptions& options) const {
  return spec_.mid_attention ? std::make_shared<PlaceAttention>(channels, 0, options) : nullptr;
}

void AutoencoderKL::add_encoder(const UNetBlockOptions& options) {
  std::int64_t before = spec_.block_out_channels.front();
  encoder_.input = convolution(*this, "encoder.conv_in", {.in = spec_.in_channels, .out = before}, dtype_);
  for (std::size_t i = 0; i < spec_.levels(); ++i) {
    const std::string name = cat("encoder.down_blocks.", i, ".");
    const std::int64_t channels = spec_.block_out_channels[i];
    Level level;
    for (std::int64_t k = 0; k < spec_.layers_per_block; ++k)
      level.resnets.push_back(
          register_at(*this, cat(name, "resnets.", k),
                      std::make_shared<ResnetBlock>(k == 0 ? before : channels, channels, options)));
    if (i + 1 < spec_.levels())
      level.halve =
          register_at(*this, name + "downsamplers.0", std::make_shared<HalveSide>(channels, 0, dtype_));
    encoder_.levels.push_back(std::move(level));
    before = channels;
  }
  encoder_.middle =
      register_at(*this, "encoder.mid_block",
                  std::make_shared<MiddleBlock>(before, mid_attention(before, options), options));
  encoder_.norm = register_at(*this, "encoder.conv_norm_out",
                              std::make_shared<GroupNorm>(spec_.norm_num_groups, before, kEps, dtype_));
  encoder_.output =
      convolution(*this, "encoder.conv_out", {.in = before, .out = 2 * spec_.latent_channels}, dtype_);
}

void AutoencoderKL::add_decoder(const UNetBlockOptions& options) {
  std::int64_t before = spec_.block_out_channels.back();
  decoder_.input =
      convolution(*this, "decoder.conv_in", {.in = spec_.latent_channels, .out = before}, dtype_);
  decoder_.middle =
      register_at(*this, "decoder.mid_block",
                  std::make_shared<MiddleBlock>(before, mid_attention(before, options), options));
  for (std::size_t i = 0; i < spec_.levels(); ++i) {
    const std::string name = cat("decoder.up_blocks.", i, ".");
    const std::int64_t channels = spec_.up_channels(i);
    Level level;
    for (std::int64_t k = 0; k <= spec_.layers_per_block; ++k)
      level.resnets.push_back(
          register_at(*this, cat(name, "resnets.", k),
                      std::make_shared<ResnetBlock>(k == 0 ? before : channels, channels, options)));
    if (i + 1 < spec_.levels())
      level.twice = register_at(*this, name + "upsamplers.0", std::make_shared<DoubleSide>(channels, dtype_));
    decoder_.levels.push_back(std::move(level));
    before = channels;
  }
  decoder_.norm = register_at(*this, "decoder.conv_norm_out",
                              std::make_shared<GroupNorm>(spec_.norm_num_groups, before, kEps, dtype_));
  decoder_.output = convolution(*this, "decoder.conv_out", {.in = before, .out = spec_.out_channels}, dtype_);
}

at::Tensor AutoencoderKL::Level::forward(at::Tensor x) const {
  for (const auto& resnet : resnets) x = resnet->forward(x);
  if (halve) return halve->forward(x);
  return twice ? twice->forward(x) : x;
}

LatentMoments AutoencoderKL::encode(const at::Tensor& pictures) const {
  const std::int64_t step = spec_.halvings();
  require(pictures.size(2) % step == 0 && pictures.size(3) % step == 0, "a picture of ", pictures.size(2),
          " x ", pictures.size(3), " has no latents: its sides are multiples of ", step);
  at::Tensor x = encoder_.input->forward(channels_last(pictures, dtype_));
  for (const Level& level : encoder_.levels) x = level.forward(x);
  x = encoder_.output->forward(encoder_.norm->forward(encoder_.middle->forward(x), true));
  const auto halves = (moments_ ? moments_->forward(x) : x).chunk(2, 1);
  return {halves[0], halves[1].clamp(-30, 20)};
}

at::Tensor AutoencoderKL::decode(const at::Tensor& latents) const {
  const at::Tensor x = channels_last(latents, dtype_);
  at::Tensor y = decoder_.middle->forward(decoder_.input->forward(latents_ ? latents_->forward(x) : x));
  for (const Level& level : decoder_.levels) y = level.forward(y);
  return decoder_.output->forward(decoder_.norm->forward(y, true));
}

at::Tensor AutoencoderKL::scaled(const at::Tensor& latents) const {
  return (latents - spec_.shift_factor) * spec_.scaling_factor;
}
at::Tensor AutoencoderKL::unscaled(const at::Tensor& values) const {
  return values / spec_.scaling_factor + spec_.shift_factor;
}

}  // namespace lathe
