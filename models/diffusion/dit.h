#pragma once
// DiTTransformer2DModel of diffusers (Peebles and Xie, arXiv 2212.09748) for any DiTSpec: from a noisy
// picture (or latent), its time and its class to what the recipe predicts. Parameters carry diffusers' names.
// Single-device; precision is the parameters' dtype. Letters as in joint_block.h; P patch size.
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "models/layers/module.h"
#include "checkpoints/diffusion/dit.h"
#include "models/diffusion/joint_block.h"
#include "models/layers/embedding.h"

namespace lathe {

// Attention and MLP of a picture alone; shifts, scales and gates come from its time and class, which every
// block embeds itself.
class DiTBlock : public Module {
 public:
  DiTBlock(const DiTSpec& spec, at::ScalarType dtype);
  // waves (B, 256) of the times, classes (B) int64 -> (B, C), through SiLU already.
  at::Tensor condition(const at::Tensor& waves, const at::Tensor& classes) const;
  JointStream forward(JointStream stream, const at::Tensor& condition) const;

 private:
  std::int64_t heads_;
  double norm_eps_;
  std::shared_ptr<Linear> time_first_, time_second_, modulation_, output_, wide_, narrow_;
  std::shared_ptr<Embedding> classes_;
  LinearGroup projections_;  // queries, keys, values
};

class DiT : public Module {
 public:
  DiT(const DiTSpec& spec, at::ScalarType dtype);
  const DiTSpec& spec() const { return spec_; }
  // pictures (B, in_channels, H, H), H a multiple of P (another than sample_size has its positions stretched,
  // as diffusers does); times (B), 0 .. 1000; classes (B) int64, num_classes for none
  // -> (B, out_channels, H, H).
  at::Tensor forward(const at::Tensor& pictures, const at::Tensor& times, const at::Tensor& classes) const;
  // Linear layers Xavier uniform, classes of unit variance; shifts, scales, gates and the output zero
  // (arXiv 2212.09748, section 3.2; its normal(0, 0.02) for times and classes would leave a small network's
  // condition near zero for long). Counter-based in (seed, parameter, element).
  void initialise(std::uint64_t seed);

 private:
  at::Tensor patches(const at::Tensor& pictures) const;  // (B, T, C), positions added
  at::Tensor positions(std::int64_t side) const;         // (side ^ 2, C)

  DiTSpec spec_;
  at::Tensor patch_weight_, patch_bias_;  // (C, in_channels, P, P), (C)
  at::Tensor positions_;                  // of pictures of sample_size
  std::vector<std::shared_ptr<DiTBlock>> blocks_;
  std::shared_ptr<Linear> modulation_, output_;
};

}  // namespace lathe
