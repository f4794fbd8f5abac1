#pragma once
// The text encoder of CLIP (arXiv 2103.00020): a causal pre-norm transformer over a whole padded row, as
// diffusers' pipelines run it (padding is read like any token). Parameters carry transformers' names.
// Letters: B texts, L tokens, C channels.
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "models/layers/module.h"
#include "checkpoints/diffusion/clip_text.h"
#include "models/layers/embedding.h"
#include "models/layers/layer_norm.h"
#include "models/layers/linear.h"

namespace lathe {

struct ClipTextOutput {
  at::Tensor last;         // (B, L, C), through the final norm
  at::Tensor penultimate;  // (B, L, C), before the last layer, not normed
  at::Tensor pooled;       // (B, C) at the first end of text; (B, projection_dim) with a projection
};

class ClipTextLayer;

class ClipText : public Module {
 public:
  ClipText(const ClipTextSpec& spec, at::ScalarType dtype);
  const ClipTextSpec& spec() const { return spec_; }
  // ids (B, L) int64, L up to max_positions, each row with an end of text.
  ClipTextOutput forward(const at::Tensor& ids) const;
  // From now on rows [first, first + count) of the table of tokens are a parameter of their own
  // (Embedding::train_rows).
  void train_tokens(std::int64_t first, std::int64_t count) { tokens_->train_rows(first, count); }
  // For training from scratch beside the network that reads it: tables normal(0, 1), linear layers
  // normal(0, 1 / sqrt(inputs)), norms 1, biases 0. With CLIP's own 0.02 the tokens, which leave un-normed,
  // are drowned by what the network's blocks add to them. Counter-based in (seed, parameter, element).
  void initialise(std::uint64_t seed);

 private:
  ClipTextSpec spec_;
  std::shared_ptr<Embedding> tokens_, positions_;
  std::vector<std::shared_ptr<ClipTextLayer>> layers_;
  std::shared_ptr<LayerNorm> norm_;
  std::shared_ptr<Linear> projection_;  // null without
};

}  // namespace lathe
