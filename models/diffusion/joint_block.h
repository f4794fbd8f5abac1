#pragma once
// A block of the MM-DiT (Esser et al., arXiv 2403.03206, figure 2b): picture and text have weights of their
// own and attend to each other; shifts, scales and gates of both come from the time and the whole text.
// Letters: B pictures, T patches, L text tokens, C channels, H heads, D head size.
#include <ATen/core/Tensor.h>

#include <memory>
#include <vector>

#include "models/layers/module.h"
#include "checkpoints/diffusion/joint_transformer.h"
#include "models/layers/linear.h"
#include "models/ops/ops.h"

namespace lathe {

// Rows of pictures or texts, (B, T, C), and what the last product adds to them, gate (B, C) * branch (B, T,
// C): whoever reads them next adds it, so that the sum and its norm are one pass over memory.
struct JointStream {
  at::Tensor rows, branch, gate;  // branch and gate undefined: nothing to add
  // The modulated norm of the sum (models/ops/ops.h), (B * T, C); rows become the sum.
  at::Tensor modulated(const Modulation& by);
};
struct JointStreams {
  JointStream picture, text;  // text without rows behind the last block
};

class JointBlock : public Module {
 public:
  JointBlock(const JointTransformerSpec& spec, std::int64_t layer, at::ScalarType dtype);
  // condition (B, C): of the time and the whole text, through SiLU already.
  JointStreams forward(JointStreams streams, const at::Tensor& condition) const;

 private:
  struct Side {  // what picture and text each have
    std::shared_ptr<Linear> modulation, output, wide, narrow;
    LinearGroup projections;          // queries, keys, values
    at::Tensor query_norm, key_norm;  // (D), undefined without
  };
  HeadParts project(const Side& side, const at::Tensor& x) const;
  JointStream finish(const Side& side, const JointStream& stream, const at::Tensor& attended,
                     const std::vector<at::Tensor>& modulation) const;

  std::int64_t heads_;
  bool last_;
  Side picture_, text_;
};

// A linear layer on the last dimension of any shape.
at::Tensor on_channels(const Linear& linear, const at::Tensor& x);

}  // namespace lathe
