#pragma once
// A block of the MM-DiT (Esser et al., arXiv 2403.03206, figure 2b): picture and text have weights of their
// own and attend to each other; shifts, scales and gates of both come from the time and the whole text.
// Letters: B pictures, T patches, L text tokens, C channels, H heads, D head size.
#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <array>
#include <memory>
#include <vector>

#include "checkpoints/diffusion/joint_transformer.h"
#include "models/layers/linear.h"

namespace lathe {

struct JointStreams {
  at::Tensor picture, text;  // (B, T, C), (B, L, C); text undefined behind the last block
};

class JointBlock : public torch::nn::Module {
 public:
  JointBlock(const JointTransformerSpec& spec, std::int64_t layer, at::ScalarType dtype);
  // condition (B, C): of the time and the whole text, through SiLU already.
  JointStreams forward(const JointStreams& streams, const at::Tensor& condition) const;

 private:
  struct Side {  // what picture and text each have
    std::shared_ptr<Linear> modulation, query, key, value, output, wide, narrow;
    at::Tensor query_norm, key_norm;  // (D), undefined without
  };
  std::array<at::Tensor, 3> project(const Side& side, const at::Tensor& x) const;  // q, k, v (B, H, T, D)
  at::Tensor finish(const Side& side, const at::Tensor& x, const at::Tensor& attended,
                    const std::vector<at::Tensor>& modulation) const;

  std::int64_t heads_, head_size_;
  bool last_;
  Side picture_, text_;
};

// LayerNorm without weights (eps 1e-6), then x * (1 + scale) + shift. x (B, T, C), scale and shift (B, C).
at::Tensor modulated_norm(const at::Tensor& x, const at::Tensor& scale, const at::Tensor& shift);
// A linear layer on the last dimension of any shape.
at::Tensor on_channels(const Linear& linear, const at::Tensor& x);

}  // namespace lathe
