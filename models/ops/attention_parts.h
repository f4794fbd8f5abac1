#pragma once
// What the ways of computing packed attention share: stretches as batches, and what backward is told of them.
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cstdint>
#include <vector>

#include "models/ops/ops.h"

namespace lathe {

// Stretches as ATen's kernel takes them: one batch of all rows when every stretch is a whole row, else one
// each.
struct Segment {
  std::int64_t begin, batch, length;
};

// (N, H, D) tokens of a segment as a view (batch, H, length, D).
inline at::Tensor sequences(const at::Tensor& x, const Segment& part) {
  return x.narrow(0, part.begin, part.batch * part.length)
      .view({part.batch, part.length, x.size(1), x.size(2)})
      .transpose(1, 2);
}

inline std::vector<std::int64_t> flatten(const std::vector<Segment>& parts) {
  std::vector<std::int64_t> flat;
  for (const Segment& part : parts) flat.insert(flat.end(), {part.begin, part.batch, part.length});
  return flat;
}
inline std::vector<Segment> unflatten(const std::vector<std::int64_t>& flat) {
  std::vector<Segment> parts;
  for (std::size_t i = 0; i < flat.size(); i += 3) parts.push_back({flat[i], flat[i + 1], flat[i + 2]});
  return parts;
}

inline at::Tensor zeros_unless_covered(const at::Tensor& like, const std::vector<Segment>& parts) {
  std::int64_t covered = 0;
  for (const Segment& part : parts) covered += part.batch * part.length;
  return covered == like.size(0) ? at::empty(like.sizes(), like.options())
                                 : at::zeros(like.sizes(), like.options());
}

inline void keep_rule(torch::autograd::AutogradContext* ctx, const AttentionRule& rule) {
  ctx->saved_data["scale"] = rule.scale;
  ctx->saved_data["window"] = rule.window;
  ctx->saved_data["softcap"] = rule.softcap;
}
inline AttentionRule kept_rule(torch::autograd::AutogradContext* ctx) {
  return {ctx->saved_data["scale"].toDouble(), ctx->saved_data["window"].toInt(),
          ctx->saved_data["softcap"].toDouble()};
}

// Windows and soft caps without tiles, fp32, differentiable.
at::Tensor blocked_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                             const std::vector<Segment>& parts, const AttentionRule& rule);

}  // namespace lathe
