#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu_backward.h>
#include <ATen/ops/empty.h>
#include <algorithm>

#include "models/ops/attention_parts.h"
#include "models/ops/launch.h"
#include "models/ops/ops.h"

namespace lathe {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

std::vector<Segment> segments(const std::vector<Stretch>& stretches, std::int64_t rows, std::int64_t length) {
  bool whole = static_cast<std::int64_t>(stretches.size()) == rows;
  for (const Stretch& stretch : stretches) whole = whole && stretch.length == length;
  if (whole) return {{0, rows, length}};
  std::vector<Segment> result;
  for (const Stretch& stretch : stretches) result.push_back({stretch.begin, 1, stretch.length});
  return result;
}

// ATen's flash attention in fp32.
struct StockAttention : torch::autograd::Function<StockAttention> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& q, const at::Tensor& k,
                            const at::Tensor& v, const std::vector<Segment>& parts, double scale) {
    const at::Tensor dense_q = q.contiguous(), dense_k = k.contiguous(), dense_v = v.contiguous();
    at::Tensor out = zeros_unless_covered(dense_q, parts);
    variable_list saved{dense_q, dense_k, dense_v, out};
    for (const Segment& part : parts) {
      auto [result, logsumexp] = at::_scaled_dot_product_flash_attention_for_cpu(
          sequences(dense_q, part), sequences(dense_k, part), sequences(dense_v, part), 0.0,
          /*is_causal=*/true, {}, scale);
      sequences(out, part).copy_(result);
      saved.push_back(logsumexp);
    }
    ctx->save_for_backward(saved);
    ctx->saved_data["segments"] = flatten(parts);
    ctx->saved_data["scale"] = scale;
    return out;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const variable_list saved = ctx->get_saved_variables();
    const auto parts = unflatten(ctx->saved_data["segments"].toIntVector());
    const at::Tensor dout = gradients[0].contiguous();
    const variable_list results{zeros_unless_covered(saved[0], parts), zeros_unless_covered(saved[1], parts),
                                zeros_unless_covered(saved[2], parts)};
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const auto view = [&](const at::Tensor& x) { return sequences(x, parts[i]); };
      auto [dq, dk, dv] = at::_scaled_dot_product_flash_attention_for_cpu_backward(
          view(dout), view(saved[0]), view(saved[1]), view(saved[2]), view(saved[3]), saved[4 + i], 0.0,
          /*is_causal=*/true, {}, ctx->saved_data["scale"].toDouble());
      view(results[0]).copy_(dq);
      view(results[1]).copy_(dk);
      view(results[2]).copy_(dv);
    }
    return {results[0], results[1], results[2], at::Tensor(), at::Tensor()};
  }
};

at::Tensor rows_dense(const at::Tensor& x) {  // (N, H, D) whose rows may stand apart
  return x.stride(2) == 1 && x.stride(1) == x.size(2) ? x : x.contiguous();
}

// One task a stretch and query head, in blocks. Gradients of shared keys and values are summed over their
// query heads.
struct TiledAttention : torch::autograd::Function<TiledAttention> {
  static void run(const variable_list& t, const std::vector<Segment>& parts, const AttentionRule& rule,
                  const variable_list& gradients) {
    const at::Tensor &q = t[0], &k = t[1], &v = t[2], &out = t[3], &logsumexp = t[4];
    const kernels::OpKernels& table = kernels::op_kernels(true);
    const std::int64_t heads = q.size(1), group = heads / k.size(1), size = q.size(2);
    const auto at_row = [](const at::Tensor& x, std::int64_t row, std::int64_t head) -> void* {
      return static_cast<std::uint16_t*>(const_cast<void*>(x.const_data_ptr())) + row * x.stride(0) +
             head * x.size(2);
    };
    parallel_tasks(static_cast<std::int64_t>(parts.size()) * heads, [&](std::int64_t task) {
      const Segment& part = parts[task / heads];
      const std::int64_t head = task % heads, row = part.begin;
      kernels::Attention args{};
      args.q = at_row(q, row, head);
      args.k = at_row(k, row, head / group);
      args.v = at_row(v, row, head / group);
      args.out = at_row(out, row, head);
      args.logsumexp = logsumexp.data_ptr<float>() + row * heads + head;
      args.q_row = q.stride(0);
      args.k_row = k.stride(0);
      args.v_row = v.stride(0);
      args.out_row = args.gradient_row = heads * size;
      args.statistics_row = heads;
      args.length = args.keys = part.length;
      args.causal = true;
      args.size = size;
      args.scale = static_cast<float>(rule.scale);
      args.window = rule.window < part.length ? rule.window : 0;
      args.softcap = static_cast<float>(rule.softcap);
      void* memory = thread_memory(table.attention_memory(part.length, size));
      if (gradients.empty()) return table.attention_forward(args, memory);
      args.dout = at_row(gradients[0], row, head);
      args.dq = at_row(gradients[1], row, head);
      args.dk = at_row(gradients[2], row, head);
      args.dv = at_row(gradients[3], row, head);
      table.attention_backward(args, memory);
    });
  }

  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& q, const at::Tensor& k,
                            const at::Tensor& v, const std::vector<Segment>& parts,
                            const AttentionRule& rule) {
    at::Tensor out = zeros_unless_covered(q, parts);
    const variable_list saved{rows_dense(q), rows_dense(k), rows_dense(v), out,
                              at::empty({q.size(0), q.size(1)}, at::kFloat)};
    run(saved, parts, rule, {});
    ctx->save_for_backward(saved);
    ctx->saved_data["segments"] = flatten(parts);
    keep_rule(ctx, rule);
    return out;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const variable_list saved = ctx->get_saved_variables();
    const auto parts = unflatten(ctx->saved_data["segments"].toIntVector());
    const at::Tensor &q = saved[0], &k = saved[1];
    const variable_list results{gradients[0].contiguous(), zeros_unless_covered(q, parts),
                                zeros_unless_covered(q, parts), zeros_unless_covered(q, parts)};
    run(saved, parts, kept_rule(ctx), results);
    const std::int64_t rows = k.size(0), kv_heads = k.size(1), group = q.size(1) / kv_heads, size = q.size(2);
    const auto shared = [&](const at::Tensor& x) {  // (N, H, D) -> (N, K, D)
      if (group == 1) return x;
      at::Tensor out = at::empty({rows, kv_heads, size}, x.options());
      const kernels::SumGroups args{
          .x = x.const_data_ptr(), .out = out.data_ptr(), .group = group, .size = size};
      parallel_ranges(rows * kv_heads, row_grain(group * size), [&](std::int64_t begin, std::int64_t end) {
        kernels::op_kernels(true).sum_groups(args, begin, end);
      });
      return out;
    };
    return {results[1], shared(results[2]), shared(results[3]), at::Tensor(), at::Tensor()};
  }
};

std::vector<Segment> one_each(const std::vector<Stretch>& stretches) {
  std::vector<Segment> parts;
  for (const Stretch& stretch : stretches) parts.push_back({stretch.begin, 1, stretch.length});
  return parts;
}

}  // namespace

at::Tensor document_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                              const std::vector<Stretch>& stretches, std::int64_t rows, std::int64_t length,
                              const AttentionRule& rule) {
  require(q.dim() == 3 && k.dim() == 3 && q.size(0) == rows * length,
          "document_attention: q should have shape (", rows * length, ", H, D), found ", q.sizes());
  require_shape(v, k.sizes(), "document_attention", "v");
  require_shape(k, {q.size(0), k.size(1), q.size(2)}, "document_attention", "k");
  require(rule.window >= 0 && rule.softcap >= 0, "document_attention: a window of ", rule.window,
          " and a cap of ", rule.softcap, "; neither may be negative");
  require(q.size(1) % k.size(1) == 0, "document_attention: ", q.size(1), " query heads are no multiple of ",
          k.size(1), " key heads");
  for (const Stretch& stretch : stretches) {
    require(stretch.begin >= 0 && stretch.length > 0 && stretch.begin + stretch.length <= q.size(0),
            "document_attention: a stretch of ", stretch.length, " from ", stretch.begin, " in ", q.size(0),
            " tokens");
  }
  if (q.scalar_type() == at::kBFloat16 && kernels::op_kernels(true).attention_forward != nullptr) {
    return TiledAttention::apply(q, k, v, one_each(stretches), rule);
  }
  // bf16 without block products: wider is as fast there, and ATen's bf16 path fails under a lowered
  // ATEN_CPU_CAPABILITY.
  const at::Tensor wide[3] = {q.to(at::kFloat), k.to(at::kFloat), v.to(at::kFloat)};
  const auto parts = segments(stretches, rows, length);
  std::int64_t longest = 0;
  for (const Segment& part : parts) longest = std::max(longest, part.length);
  const bool plain = rule.softcap <= 0 && (rule.window <= 0 || rule.window >= longest);
  const at::Tensor out = plain ? StockAttention::apply(wide[0], wide[1], wide[2], parts, rule.scale)
                               : blocked_attention(wide[0], wide[1], wide[2], parts, rule);
  return out.to(q.scalar_type());
}

}  // namespace lathe
