#include <ATen/core/Tensor.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>

#include "models/ops/launch.h"
#include "models/ops/ops.h"

namespace lathe {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

void* row_of(const at::Tensor& x, std::int64_t batch, std::int64_t row, std::int64_t element) {
  return static_cast<char*>(const_cast<void*>(x.const_data_ptr())) +
         (batch * x.stride(0) + row * x.stride(1) + element) * static_cast<std::int64_t>(x.element_size());
}

at::Tensor heads_dense(const at::Tensor& x) {  // (B, T, H, D) whose tokens may stand apart
  return x.stride(3) == 1 && x.stride(2) == x.size(3) ? x : x.contiguous();
}

// One task a picture and head, in blocks.
struct TiledFullAttention : torch::autograd::Function<TiledFullAttention> {
  // t: q, k, v, out, logsumexp; gradients: none, or dout, dq, dk, dv.
  static void run(const variable_list& t, double scale, const variable_list& gradients) {
    const at::Tensor &q = t[0], &k = t[1], &v = t[2], &out = t[3], &logsumexp = t[4];
    const kernels::OpKernels& table = kernels::op_kernels(true);
    const std::int64_t tokens = q.size(1), heads = q.size(2), size = q.size(3), keys = k.size(1);
    parallel_tasks(q.size(0) * heads, [&](std::int64_t task) {
      const std::int64_t batch = task / heads, head = task % heads;
      const auto of = [&](const at::Tensor& x) { return row_of(x, batch, 0, head * size); };
      kernels::Attention args{};
      args.q = of(q);
      args.k = of(k);
      args.v = of(v);
      args.out = of(out);
      args.logsumexp = logsumexp.data_ptr<float>() + batch * tokens * heads + head;
      args.q_row = q.stride(1);
      args.k_row = k.stride(1);
      args.v_row = v.stride(1);
      args.out_row = out.stride(1);
      args.statistics_row = heads;
      args.length = tokens;
      args.keys = keys;
      args.size = size;
      args.scale = static_cast<float>(scale);
      args.causal = false;
      void* memory = thread_memory(table.attention_memory(std::max(tokens, keys), size));
      if (gradients.empty()) return table.attention_forward(args, memory);
      args.dout = of(gradients[0]);
      args.dq = of(gradients[1]);
      args.dk = of(gradients[2]);
      args.dv = of(gradients[3]);
      args.gradient_row = gradients[1].stride(1);
      table.attention_backward(args, memory);
    });
  }

  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& q, const at::Tensor& k,
                            const at::Tensor& v, double scale) {
    const variable_list saved{heads_dense(q), heads_dense(k), heads_dense(v),
                              at::empty(q.sizes(), q.options()),
                              at::empty({q.size(0), q.size(1), q.size(2)}, at::kFloat)};
    run(saved, scale, {});
    ctx->save_for_backward(saved);
    ctx->saved_data["scale"] = scale;
    return saved[3];
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &q = saved[0], &k = saved[1];
    // One array when there are as many keys as queries: what made q, k and v in one product reads it as one.
    const std::int64_t longest = std::max(q.size(1), k.size(1)), heads = q.size(2), size = q.size(3);
    const at::Tensor all = at::empty({q.size(0), longest, 3, heads, size}, q.options());
    const auto part = [&](std::int64_t index, std::int64_t tokens) {
      return all.select(2, index).narrow(1, 0, tokens);
    };
    const variable_list results{gradients[0].contiguous(), part(0, q.size(1)), part(1, k.size(1)),
                                part(2, k.size(1))};
    run(saved, ctx->saved_data["scale"].toDouble(), results);
    return {results[1], results[2], results[3], at::Tensor()};
  }
};

constexpr double kHeadEps = 1e-6;
constexpr std::int64_t kPicturesAPart = 8;  // of partial sums of weight gradients: whatever the threads are

// parameters: q, k and v of each side, (B * T, H * D), then the norms of q and k of each side, (D), or none.
struct JoinHeads : torch::autograd::Function<JoinHeads> {
  struct Side {
    std::int64_t tokens, before;  // before: tokens of the sides in front of it
  };
  static std::vector<Side> sides(const variable_list& parts, std::int64_t count, std::int64_t batch) {
    std::vector<Side> result;
    std::int64_t before = 0;
    for (std::int64_t side = 0; side < count; ++side) {
      const std::int64_t tokens = parts[static_cast<std::size_t>(3 * side)].size(0) / batch;
      result.push_back({tokens, before});
      before += tokens;
    }
    return result;
  }

  static variable_list forward(AutogradContext* ctx, at::TensorList list, std::int64_t batch,
                               std::int64_t heads, bool normed) {
    const at::AutoDispatchBelowADInplaceOrView below;
    variable_list parts = list.vec();
    for (at::Tensor& part : parts)
      if (part.dim() == 2 && part.stride(1) != 1) part = part.contiguous();
    const std::int64_t count = static_cast<std::int64_t>(parts.size()) / (normed ? 5 : 3);
    const std::int64_t channels = parts[0].size(1), size = channels / heads;
    const auto all_sides = sides(parts, count, batch);
    const std::int64_t tokens = all_sides.back().before + all_sides.back().tokens;
    const at::Tensor out = at::empty({batch, tokens, 3, heads, size}, parts[0].options());
    const kernels::OpKernels& table = kernels_for(out, "join_heads");
    parallel_ranges(batch, row_grain(3 * channels * tokens), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t picture = begin; picture < end; ++picture)
        for (std::int64_t piece = 0; piece < 3 * count; ++piece) {
          const kernels::HeadNorm args = arguments(parts, all_sides, {picture, piece, normed}, out);
          table.head_norm_forward(args, 0, all_sides[static_cast<std::size_t>(piece / 3)].tokens);
        }
    });
    ctx->save_for_backward(parts);
    ctx->saved_data["batch"] = batch;
    ctx->saved_data["heads"] = heads;
    ctx->saved_data["normed"] = normed;
    return {out.select(2, 0), out.select(2, 1), out.select(2, 2)};
  }

  struct Place {
    std::int64_t picture, piece;  // piece: side * 3 + (query, key, value)
    bool normed;
  };
  // One side's queries, keys or values of one picture; joint (B, T, 3, H, D).
  static kernels::HeadNorm arguments(const variable_list& parts, const std::vector<Side>& all_sides,
                                     const Place& place, const at::Tensor& joint) {
    const auto piece = static_cast<std::size_t>(place.piece), side = piece / 3, kind = piece % 3;
    const at::Tensor& x = parts[piece];
    const std::int64_t tokens = all_sides[side].tokens;
    kernels::HeadNorm args{};
    args.x = row_of(x.unsqueeze(0), 0, place.picture * tokens, 0);
    args.x_row = x.stride(0);
    args.heads = joint.size(3);
    args.size = joint.size(4);
    args.out_row = joint.stride(1);
    args.out = row_of(joint, place.picture, all_sides[side].before,
                      static_cast<std::int64_t>(kind) * args.heads * args.size);
    args.eps = static_cast<float>(kHeadEps);
    if (place.normed && kind < 2)
      args.weight = parts[3 * all_sides.size() + 2 * side + kind].const_data_ptr();
    return args;
  }

  static variable_list backward(AutogradContext* ctx, variable_list gradients) {
    const variable_list parts = ctx->get_saved_variables();
    const std::int64_t batch = ctx->saved_data["batch"].toInt(), heads = ctx->saved_data["heads"].toInt();
    const bool normed = ctx->saved_data["normed"].toBool();
    const auto count = static_cast<std::int64_t>(parts.size()) / (normed ? 5 : 3);
    const auto all_sides = sides(parts, count, batch);
    const std::int64_t channels = parts[0].size(1), size = channels / heads;
    for (at::Tensor& gradient : gradients) gradient = heads_dense(gradient);
    variable_list joint;  // of each side, (B * T, 3 C): a slice for each of query, key and value
    variable_list result;
    for (const Side& side : all_sides) {
      joint.push_back(at::empty({batch * side.tokens, 3 * channels}, parts[0].options()));
      for (std::int64_t kind = 0; kind < 3; ++kind)
        result.push_back(joint.back().narrow(1, kind * channels, channels));
    }
    const std::int64_t chunks = (batch + kPicturesAPart - 1) / kPicturesAPart;
    const at::Tensor partial = at::zeros({normed ? chunks : 0, 2 * count, size}, at::kFloat);
    const kernels::OpKernels& table = kernels_for(parts[0], "join_heads");
    const at::Tensor layout = at::empty({1, 1, 3, heads, size}, parts[0].options());
    parallel_ranges(chunks, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t picture = begin * kPicturesAPart; picture < std::min(batch, end * kPicturesAPart);
           ++picture)
        for (std::int64_t piece = 0; piece < 3 * count; ++piece) {
          const auto index = static_cast<std::size_t>(piece), kind = index % 3;
          const Side& side = all_sides[index / 3];
          kernels::HeadNorm args = arguments(parts, all_sides, {picture, piece, normed}, layout);
          args.dout = row_of(gradients[kind], picture, side.before, 0);
          args.out_row = gradients[kind].stride(1);
          args.dx = row_of(result[index].unsqueeze(0), 0, picture * side.tokens, 0);
          args.dx_row = result[index].stride(0);
          if (args.weight != nullptr)
            args.dweight = partial.data_ptr<float>() +
                           ((picture / kPicturesAPart) * 2 * count + piece / 3 * 2 + piece % 3) * size;
          table.head_norm_backward(args, 0, side.tokens);
        }
    });
    if (normed) {
      const at::Tensor sums = partial.sum(0).to(parts[0].scalar_type());
      for (std::int64_t i = 0; i < 2 * count; ++i) result.push_back(sums[i]);
    }
    result.resize(result.size() + 3);  // batch, heads, normed
    return result;
  }
};

}  // namespace

at::Tensor full_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  require(q.dim() == 4 && k.dim() == 4, "full_attention: q should have shape (B, T, H, D), found ",
          q.sizes());
  require_shape(k, {q.size(0), k.size(1), q.size(2), q.size(3)}, "full_attention", "k");
  require_shape(v, k.sizes(), "full_attention", "v");
  if (q.scalar_type() == at::kBFloat16 && kernels::op_kernels(true).attention_forward != nullptr)
    return TiledFullAttention::apply(q, k, v, 1 / std::sqrt(static_cast<double>(q.size(3))));
  // bf16 without block products: wider is as fast there, and ATen's bf16 path fails under a lowered
  // ATEN_CPU_CAPABILITY.
  const auto heads_first = [](const at::Tensor& x) { return x.to(at::kFloat).transpose(1, 2); };
  return at::scaled_dot_product_attention(heads_first(q), heads_first(k), heads_first(v))
      .transpose(1, 2)
      .to(q.scalar_type());
}

std::array<at::Tensor, 3> join_heads(const std::vector<HeadParts>& sides, std::int64_t batch,
                                     std::int64_t heads) {
  variable_list parts;
  const bool normed = sides[0].query_norm.defined();
  const at::Tensor& first = sides[0].query;
  for (const HeadParts& side : sides) {
    for (const at::Tensor& x : {side.query, side.key, side.value}) {
      require(x.dim() == 2 && x.size(0) == side.query.size(0) && x.size(0) % batch == 0 &&
                  x.size(1) == first.size(1) && x.size(1) % heads == 0 &&
                  x.scalar_type() == first.scalar_type(),
              "join_heads: matrices (", batch, " * T, ", heads, " * D) of one type are wanted, found ",
              x.sizes());
      parts.push_back(x);
    }
    require(normed == side.query_norm.defined() && normed == side.key_norm.defined(),
            "join_heads: queries and keys of all sides are normed, or none");
  }
  if (normed)
    for (const HeadParts& side : sides) {
      parts.push_back(alike(side.query_norm, first));
      parts.push_back(alike(side.key_norm, first));
    }
  const variable_list out = JoinHeads::apply(at::TensorList(parts), batch, heads, normed);
  return {out[0], out[1], out[2]};
}

}  // namespace lathe
