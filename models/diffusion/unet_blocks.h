#pragma once
// What UNets and autoencoders of diffusers are built of, in its parameter names: ResnetBlock2D, the attention
// over all places of a picture, and the convolutions that halve and double a side. Letters: B pictures,
// C channels, H, W sides, E channels of a time. Pictures are channels last in memory.
#include <ATen/core/Tensor.h>

#include <memory>

#include "models/layers/module.h"
#include "models/layers/convolution.h"
#include "models/layers/linear.h"

namespace lathe {

// What the blocks of one network share.
struct UNetBlockOptions {
  std::int64_t time_channels = 0;  // E; 0: blocks are not told the time
  std::int64_t groups = 32;        // of norms
  double eps = 1e-5;               // of norms
  double output_scale = 1;         // a block's sum is divided by it
  at::ScalarType dtype = at::kFloat;
};

// x + convolutions(x), the time's product added between them (He et al., arXiv 1512.03385; arXiv 2006.11239).
class ResnetBlock : public Module {
 public:
  ResnetBlock(std::int64_t in, std::int64_t out, const UNetBlockOptions& options);
  // x (B, in, H, W), time (B, E) through SiLU already, undefined without -> (B, out, H, W).
  at::Tensor forward(const at::Tensor& x, const at::Tensor& time = {}) const;

 private:
  double output_scale_;
  std::shared_ptr<GroupNorm> first_norm_, second_norm_;
  std::shared_ptr<Convolution> first_, second_, shortcut_;  // shortcut null where in = out
  std::shared_ptr<Linear> time_;
};

// What stands behind a ResnetBlock where a level attends.
class PictureAttention : public Module {
 public:
  // x (B, C, H, W), context (B, S, D): what the picture is drawn by, where it is read -> as x.
  virtual at::Tensor forward(const at::Tensor& x, const at::Tensor& context = {}) const = 0;
};

// Every place of a picture attends to all, heads of `head_size` channels, and is added to itself.
class PlaceAttention final : public PictureAttention {
 public:
  PlaceAttention(std::int64_t channels, std::int64_t head_size, const UNetBlockOptions& options);
  at::Tensor forward(const at::Tensor& x, const at::Tensor& context = {}) const override;

 private:
  std::int64_t heads_;
  double output_scale_;
  std::shared_ptr<GroupNorm> norm_;
  LinearGroup projections_;
  std::shared_ptr<Linear> output_;
};

// What stands between the way down and the way up: UNetMidBlock2D, UNetMidBlock2DCrossAttn.
class MiddleBlock : public Module {
 public:
  // attention: null without.
  MiddleBlock(std::int64_t channels, std::shared_ptr<PictureAttention> attention,
              const UNetBlockOptions& options);
  at::Tensor forward(const at::Tensor& x, const at::Tensor& time = {}, const at::Tensor& context = {}) const;

 private:
  std::shared_ptr<ResnetBlock> first_, second_;
  std::shared_ptr<PictureAttention> attention_;
};

// Half the side: a convolution of every second place; `padding` 0 adds a row and a column behind instead.
class HalveSide : public Module {
 public:
  HalveSide(std::int64_t channels, std::int64_t padding, at::ScalarType dtype);
  at::Tensor forward(const at::Tensor& x) const;

 private:
  std::int64_t padding_;
  std::shared_ptr<Convolution> conv_;
};

// Twice the side: every place four times, then a convolution.
class DoubleSide : public Module {
 public:
  DoubleSide(std::int64_t channels, at::ScalarType dtype);
  at::Tensor forward(const at::Tensor& x) const;

 private:
  std::shared_ptr<Convolution> conv_;
};

}  // namespace lathe
