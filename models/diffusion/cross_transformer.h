#pragma once
// The attention of UNet2DConditionModel (Rombach et al., arXiv 2112.10752), diffusers' Transformer2DModel:
// places of a picture attend to each other, then to a text. Parameters carry diffusers' names. Letters as in
// unet_blocks.h; S tokens of a text, D their channels, P = H * W places.
#include <ATen/core/Tensor.h>

#include <memory>
#include <vector>

#include "models/layers/module.h"
#include "checkpoints/diffusion/unet_2d.h"
#include "models/diffusion/unet_blocks.h"
#include "models/layers/layer_norm.h"

namespace lathe {

// BasicTransformerBlock: three residual branches, each behind its LayerNorm.
class CrossBlock : public Module {
 public:
  CrossBlock(std::int64_t channels, std::int64_t heads, std::int64_t context_channels, at::ScalarType dtype);
  // x (B * P, C), context (B, S, D) -> (B * P, C).
  at::Tensor forward(const at::Tensor& x, const at::Tensor& context) const;

 private:
  // softmax(q k^T) v of rows (B * P, C) over rows (B * S, C), and the product behind it.
  struct Attention {
    std::shared_ptr<Linear> query;  // null: in `projections`, before key and value
    LinearGroup projections;
    std::shared_ptr<Linear> output;
  };
  Attention make_attention(const std::string& name, std::int64_t context_channels, at::ScalarType dtype);
  at::Tensor attend(const Attention& attention, const at::Tensor& rows, const at::Tensor& context,
                    std::int64_t batch) const;

  std::int64_t channels_, heads_;
  std::shared_ptr<LayerNorm> norms_[3];
  Attention own_, text_;
  std::shared_ptr<Linear> wide_, narrow_;
};

class CrossTransformer final : public PictureAttention {
 public:
  // At a level of `channels` channels, with `heads` heads.
  CrossTransformer(std::int64_t channels, std::int64_t heads, const CrossAttentionSpec& spec,
                   const UNetBlockOptions& options);
  at::Tensor forward(const at::Tensor& x, const at::Tensor& context) const override;

 private:
  std::shared_ptr<GroupNorm> norm_;
  std::shared_ptr<Linear> linear_in_, linear_out_;   // with use_linear_projection
  std::shared_ptr<Convolution> conv_in_, conv_out_;  // without
  std::vector<std::shared_ptr<CrossBlock>> blocks_;
};

}  // namespace lathe
