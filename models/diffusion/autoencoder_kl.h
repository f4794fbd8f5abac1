#pragma once
// AutoencoderKL of diffusers (arXiv 2112.10752) for any AutoencoderSpec: pictures to latents an eighth of
// their side (in Stable Diffusion) and back. Parameters carry diffusers' names. Single-device; precision is
// the parameters' dtype. Letters as in unet_blocks.h; L latent channels.
#include <ATen/core/Tensor.h>

#include <memory>
#include <vector>

#include "models/layers/module.h"
#include "checkpoints/diffusion/autoencoder_kl.h"
#include "models/diffusion/unet_blocks.h"

namespace lathe {

// Of every place of a latent, (B, L, H, W) each: a normal distribution. log_variance within -30 .. 20.
struct LatentMoments {
  at::Tensor mean, log_variance;
};

class AutoencoderKL : public Module {
 public:
  AutoencoderKL(const AutoencoderSpec& spec, at::ScalarType dtype);
  const AutoencoderSpec& spec() const { return spec_; }
  // pictures (B, in_channels, H, W), -1 .. 1, sides multiples of spec.halvings().
  LatentMoments encode(const at::Tensor& pictures) const;
  // latents (B, L, h, w) -> (B, out_channels, H, W).
  at::Tensor decode(const at::Tensor& latents) const;
  // What a diffusion network sees of latents, and the way back.
  at::Tensor scaled(const at::Tensor& latents) const;
  at::Tensor unscaled(const at::Tensor& values) const;

 private:
  struct Level {
    std::vector<std::shared_ptr<ResnetBlock>> resnets;
    std::shared_ptr<HalveSide> halve;
    std::shared_ptr<DoubleSide> twice;
    at::Tensor forward(at::Tensor x) const;
  };
  struct Side {  // encoder or decoder
    std::shared_ptr<Convolution> input, output;
    std::shared_ptr<MiddleBlock> middle;
    std::shared_ptr<GroupNorm> norm;
    std::vector<Level> levels;
  };
  std::shared_ptr<PictureAttention> mid_attention(std::int64_t channels,
                                                  const UNetBlockOptions& options) const;
  void add_encoder(const UNetBlockOptions& options);
  void add_decoder(const UNetBlockOptions& options);

  AutoencoderSpec spec_;
  at::ScalarType dtype_;
  Side encoder_, decoder_;
  std::shared_ptr<Convolution> moments_, latents_;  // null without
};

}  // namespace lathe
