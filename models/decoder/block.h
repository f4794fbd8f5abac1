#pragma once
// A pre-norm transformer block; with sandwich norms each branch is normed again on its way out. The residual
// stream travels as a pair: the sum so far and the branch not yet added, so that every addition happens
// inside the norm that reads it.
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "models/layers/module.h"
#include "checkpoints/bundle/spec.h"
#include "models/decoder/decoder.h"
#include "models/decoder/rotary_tables.h"
#include "models/layers/linear.h"
#include "models/layers/norm.h"
#include "models/layers/projections.h"
#include "models/ops/ops.h"

namespace lathe {

// What the blocks of one forward pass share.
struct Pass {
  at::Tensor positions;              // (N) int64
  RotaryTable rotary, local_rotary;  // undefined for learned positions; local: of layers with a window
  std::vector<Stretch> stretches;
  std::int64_t rows = 0, length = 0;
  RunOptions options;
  std::vector<KvCache*> caches;  // generation: one for all rows or one a row; stretches are unused
};

struct Stream {
  at::Tensor residual, branch;  // (N, C); branch undefined: nothing to add
};

class Attention : public Module {
 public:
  Attention(const DecoderSpec& spec, std::int64_t layer, const LinearStorage& storage);
  at::Tensor forward(const at::Tensor& x, const Pass& pass) const;  // (N, C) -> (N, C)

 private:
  QueryKeyValue project(const at::Tensor& x, const Pass& pass) const;
  at::Tensor attend_cached(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                           const Pass& pass) const;

  std::int64_t heads_, kv_heads_, head_size_, layer_;
  AttentionRule rule_;
  bool local_;                                   // turns by the local rotary table
  std::shared_ptr<Norm> query_norm_, key_norm_;  // null without qk_norm
  LinearGroup qkv_;
  std::shared_ptr<Linear> output_;
};

class Mlp : public Module {
 public:
  Mlp(const DecoderSpec& spec, const LinearStorage& storage);
  at::Tensor forward(const at::Tensor& x) const;  // (N, C) -> (N, C)

 private:
  bool gated_;
  Activation activation_;
  LinearGroup input_;  // gate and up, or up
  std::shared_ptr<Linear> output_;
};

class Block : public Module {
 public:
  Block(const DecoderSpec& spec, std::int64_t layer, const LinearStorage& storage);
  Stream forward(const Stream& stream, const Pass& pass) const;

 private:
  at::Tensor drop(const at::Tensor& x, const Pass& pass, std::uint32_t place) const;

  std::int64_t layer_;
  std::shared_ptr<Norm> input_norm_, middle_norm_;
  std::shared_ptr<Norm> attention_out_norm_, mlp_out_norm_;  // sandwich norms only
  std::shared_ptr<Attention> attention_;
  std::shared_ptr<Mlp> mlp_;
};

}  // namespace lathe
