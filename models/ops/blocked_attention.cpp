#include <ATen/ops/arange.h>
#include <ATen/ops/cosh.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/tanh.h>
#include <ATen/ops/zeros_like.h>
#include <algorithm>
#include <cmath>

#include "models/ops/attention_parts.h"

namespace lathe {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Windows and soft caps in fp32: blocks of queries against the keys that they see, so that time grows with
// the window and memory with the document. Backward makes the weights again.
struct BlockedAttention : torch::autograd::Function<BlockedAttention> {
  static constexpr std::int64_t kQueries = 64;

  struct Block {
    std::int64_t first, count, key, keys;  // queries [first, first + count) see keys [key, key + keys)
  };
  static std::vector<Block> blocks(std::int64_t length, std::int64_t window) {
    std::vector<Block> result;
    for (std::int64_t first = 0; first < length; first += kQueries) {
      const std::int64_t end = std::min(length, first + kQueries);
      const std::int64_t key = window > 0 ? std::max<std::int64_t>(0, first - window + 1) : 0;
      result.push_back({first, end - first, key, end - key});
    }
    return result;
  }

  // (batch, K, group * count, D) of queries, so that heads which share keys are rows of one product.
  static at::Tensor grouped(const at::Tensor& x, const Block& block, std::int64_t kv_heads) {
    const at::Tensor part = x.narrow(2, block.first, block.count);  // (batch, H, count, D)
    return part.reshape({part.size(0), kv_heads, -1, part.size(3)});
  }

  struct Weights {
    at::Tensor weights, slope;  // (batch, K, group * count, keys); slope of the cap, undefined without one
  };
  static Weights weights(const at::Tensor& q, const at::Tensor& k, const Block& block,
                         const AttentionRule& rule) {
    at::Tensor scores = at::matmul(q, k.transpose(2, 3)) * rule.scale, slope;
    if (rule.softcap > 0) {
      scores = scores / rule.softcap;
      slope = at::cosh(scores).square().reciprocal();  // 1 - tanh^2, exact where that would cancel
      scores = at::tanh(scores) * rule.softcap;
    }
    const at::Tensor query = at::arange(block.first, block.first + block.count).unsqueeze(1);
    const at::Tensor key = at::arange(block.key, block.key + block.keys).unsqueeze(0);
    at::Tensor hidden = key > query;
    if (rule.window > 0) hidden = hidden.logical_or(key <= query - rule.window);
    const std::int64_t group = q.size(2) / block.count;
    return {at::softmax(scores.masked_fill(hidden.repeat({group, 1}), -INFINITY), -1), slope};
  }

  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& q, const at::Tensor& k,
                            const at::Tensor& v, const std::vector<Segment>& parts,
                            const AttentionRule& rule) {
    const at::Tensor dense_q = q.contiguous(), dense_k = k.contiguous(), dense_v = v.contiguous();
    at::Tensor out = zeros_unless_covered(dense_q, parts);
    for (const Segment& part : parts) {
      const at::Tensor query = sequences(dense_q, part), keys = sequences(dense_k, part),
                       values = sequences(dense_v, part);
      const at::Tensor target = sequences(out, part);
      for (const Block& block : blocks(part.length, rule.window)) {
        const at::Tensor w =
            weights(grouped(query, block, k.size(1)), keys.narrow(2, block.key, block.keys), block, rule)
                .weights;
        const at::Tensor mixed = at::matmul(w, values.narrow(2, block.key, block.keys));
        target.narrow(2, block.first, block.count)
            .copy_(mixed.reshape({part.batch, q.size(1), block.count, q.size(2)}));
      }
    }
    ctx->save_for_backward({dense_q, dense_k, dense_v, out});
    ctx->saved_data["segments"] = flatten(parts);
    keep_rule(ctx, rule);
    return out;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor dout = gradients[0].contiguous();
    const AttentionRule rule = kept_rule(ctx);
    const variable_list results{at::zeros_like(saved[0]), at::zeros_like(saved[1]), at::zeros_like(saved[2])};
    for (const Segment& part : unflatten(ctx->saved_data["segments"].toIntVector())) {
      variable_list views;  // q, k, v, out, dout, dq, dk, dv
      for (const at::Tensor& x : saved) views.push_back(sequences(x, part));
      views.push_back(sequences(dout, part));
      for (const at::Tensor& x : results) views.push_back(sequences(x, part));
      for (const Block& block : blocks(part.length, rule.window)) block_backward(views, block, rule);
    }
    return {results[0], results[1], results[2], at::Tensor(), at::Tensor()};
  }

  static void block_backward(const variable_list& views, const Block& block, const AttentionRule& rule) {
    const std::int64_t kv_heads = views[1].size(1);
    const auto queries = [&](std::size_t i) { return grouped(views[i], block, kv_heads); };
    const auto keys = [&](std::size_t i) { return views[i].narrow(2, block.key, block.keys); };
    const at::Tensor q = queries(0), dout = queries(4);
    const Weights made = weights(q, keys(1), block, rule);
    const at::Tensor delta = (queries(3) * dout).sum(-1, /*keepdim=*/true);
    at::Tensor dscores = made.weights * (at::matmul(dout, keys(2).transpose(2, 3)) - delta) * rule.scale;
    if (rule.softcap > 0) dscores = dscores * made.slope;
    const at::Tensor dq = views[5].narrow(2, block.first, block.count);
    dq.copy_(at::matmul(dscores, keys(1)).reshape(dq.sizes()));
    keys(6).add_(at::matmul(dscores.transpose(2, 3), q));
    keys(7).add_(at::matmul(made.weights.transpose(2, 3), dout));
  }
};

}  // namespace

at::Tensor blocked_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                             const std::vector<Segment>& parts, const AttentionRule& rule) {
  return BlockedAttention::apply(q, k, v, parts, rule);
}

}  // namespace lathe
