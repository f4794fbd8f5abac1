#pragma once
// UNet2DModel and UNet2DConditionModel of diffusers for any UNet2DSpec: from a noisy picture, its time and
// perhaps its class or its text to what the recipe predicts. Parameters carry diffusers' names.
// Single-device; precision is the parameters' dtype. Letters as in unet_blocks.h.
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "models/layers/module.h"
#include "checkpoints/diffusion/unet_2d.h"
#include "models/diffusion/unet_blocks.h"
#include "models/layers/embedding.h"

namespace lathe {

class UNet2D : public Module {
 public:
  UNet2D(const UNet2DSpec& spec, at::ScalarType dtype);
  const UNet2DSpec& spec() const { return spec_; }
  // pictures (B, in_channels, H, W), sides multiples of spec.smallest_side(); times (B), 0 .. 1000; classes
  // (B) int64, below num_class_embeds, read when there are any; context (B, S, D), read when the spec says
  // `cross` -> (B, out_channels, H, W).
  at::Tensor forward(const at::Tensor& pictures, const at::Tensor& times, const at::Tensor& classes,
                     const at::Tensor& context = {}) const;
  // Xavier uniform; what ends a residual branch, and the output, zero (arXiv 2006.11239, section B); classes
  // of unit variance. Counter-based in (seed, parameter, element).
  void initialise(std::uint64_t seed);

 private:
  struct Told {
    at::Tensor time;     // (B, E), through SiLU
    at::Tensor context;  // (B, S, D); undefined without
  };
  struct Level {
    std::vector<std::shared_ptr<ResnetBlock>> resnets;
    std::vector<std::shared_ptr<PictureAttention>> attentions;  // empty or one a resnet
    std::shared_ptr<HalveSide> halve;
    std::shared_ptr<DoubleSide> twice;
    at::Tensor step(std::size_t layer, const at::Tensor& x, const Told& told) const;
  };
  void add_way_down(const UNetBlockOptions& options);
  // Of the level with that index among block_out_channels.
  std::shared_ptr<PictureAttention> make_attention(std::size_t level, const UNetBlockOptions& options) const;
  void add_way_up(const UNetBlockOptions& options);
  at::Tensor condition(const at::Tensor& times, const at::Tensor& classes) const;  // (B, E)

  UNet2DSpec spec_;
  at::ScalarType dtype_;
  std::shared_ptr<Convolution> input_, output_;
  std::shared_ptr<Linear> time_first_, time_second_;
  std::shared_ptr<Embedding> classes_;  // null without
  std::vector<Level> down_, up_;
  std::shared_ptr<MiddleBlock> middle_;  // null without
  std::shared_ptr<GroupNorm> output_norm_;
};

}  // namespace lathe
