#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/tanh.h>

#include <cmath>
#include <optional>

#include "models/ops/one_token_attention.h"
#include "models/ops/ops.h"
#include "recipes/schema/error.h"

namespace lathe {
namespace {

// (T, S) bool, true where a new token sees a key; nothing when all are seen.
std::optional<at::Tensor> seen_keys(std::int64_t fresh, std::int64_t total, std::int64_t window) {
  if (fresh == 1) return std::nullopt;  // the keys were narrowed to the window
  const at::Tensor query = at::arange(total - fresh, total).unsqueeze(1),
                   key = at::arange(total).unsqueeze(0);
  at::Tensor seen = key <= query;
  if (window > 0) seen = seen.logical_and(key > query - window);
  return seen;
}

at::Tensor capped_attention(const at::Tensor& q, const at::Tensor& keys, const at::Tensor& values,
                            const std::optional<at::Tensor>& seen, const AttentionRule& rule) {
  const std::int64_t group = q.size(1) / keys.size(1);
  const at::Tensor k = keys.to(at::kFloat).repeat_interleave(group, 1),
                   v = values.to(at::kFloat).repeat_interleave(group, 1);
  at::Tensor scores = at::matmul(q.to(at::kFloat), k.transpose(2, 3)) * rule.scale;  // (B, H, T, S)
  scores = at::tanh(scores / rule.softcap) * rule.softcap;
  if (seen) scores = scores.masked_fill(seen->logical_not(), -INFINITY);
  return at::matmul(at::softmax(scores, -1), v).to(q.scalar_type());
}

}  // namespace

at::Tensor cached_attention(const at::Tensor& q, const at::Tensor& keys, const at::Tensor& values,
                            const AttentionRule& rule) {
  const std::int64_t fresh = q.size(2), total = keys.size(2);
  require(fresh <= total, "cached_attention: ", fresh, " new tokens, but only ", total, " keys");
  if (fresh == 1 && rule.window > 0 && rule.window < total) {
    const std::int64_t first = total - rule.window;
    return cached_attention(q, keys.narrow(2, first, rule.window), values.narrow(2, first, rule.window),
                            {rule.scale, 0, rule.softcap});
  }
  const std::int64_t window = rule.window < total ? rule.window : 0;
  if (rule.softcap > 0) return capped_attention(q, keys, values, seen_keys(fresh, total, window), rule);
  if (fresh == 1 && q.scalar_type() == at::kBFloat16) return one_token_attention(q, keys, values, rule);
  const bool causal = fresh == total && fresh > 1 && window == 0;
  return at::scaled_dot_product_attention(q, keys, values,
                                          causal ? std::nullopt : seen_keys(fresh, total, window), 0.0,
                                          causal, rule.scale, /*enable_gqa=*/q.size(1) != keys.size(1));
}

}  // namespace lathe
