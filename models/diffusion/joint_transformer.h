#pragma once
// SD3Transformer2DModel of diffusers (MM-DiT, arXiv 2403.03206) for any JointTransformerSpec: from a noisy
// picture (or latent), its time and a text to what the recipe predicts. Parameters carry diffusers' names.
// Single-device; precision is the parameters' dtype. Letters as in joint_block.h; P patch size.
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "models/layers/module.h"
#include "checkpoints/diffusion/joint_transformer.h"
#include "models/diffusion/joint_block.h"

namespace lathe {

struct TextCondition {
  at::Tensor tokens;  // (B, L, joint_attention_dim)
  at::Tensor pooled;  // (B, pooled_projection_dim)
};

class JointTransformer : public Module {
 public:
  JointTransformer(const JointTransformerSpec& spec, at::ScalarType dtype);
  const JointTransformerSpec& spec() const { return spec_; }
  // pictures (B, channels, height, width), sides multiples of P and within the table of positions; times (B),
  // 0 .. 1000
  // -> (B, out_channels, height, width).
  at::Tensor forward(const at::Tensor& pictures, const at::Tensor& times, const TextCondition& text) const;
  // Linear layers Xavier uniform, shifts, scales, gates and the output zero (arXiv 2212.09748; its
  // normal(0, 0.02) for times and texts would leave a small network's condition near zero for long).
  // Counter-based in (seed, parameter, element).
  void initialise(std::uint64_t seed);

 private:
  at::Tensor patches(const at::Tensor& pictures) const;  // (B, T, C), positions added

  JointTransformerSpec spec_;
  at::Tensor patch_weight_, patch_bias_;  // (C, channels, P, P), (C)
  at::Tensor positions_;                  // (side, side, C)
  std::shared_ptr<Linear> time_first_, time_second_, text_first_, text_second_, context_, modulation_,
      output_;
  std::vector<std::shared_ptr<JointBlock>> blocks_;
};

}  // namespace lathe
