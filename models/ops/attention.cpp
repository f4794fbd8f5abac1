#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <map>

#include "models/ops/launch.h"
#include "models/ops/ops.h"

namespace lathe {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// (N, H, D) tokens from `begin`, as `batch` sequences of `length`: a view (batch, H, length, D).
at::Tensor sequences(const at::Tensor& x, std::int64_t begin, std::int64_t batch, std::int64_t length) {
  return x.narrow(0, begin, batch * length).view({batch, length, x.size(1), x.size(2)}).transpose(1, 2);
}

struct Segment {
  std::int64_t begin, batch, length;
};

// One segment for all rows when every stretch is a whole row, else one a stretch.
std::vector<Segment> segments(const std::vector<Stretch>& stretches, std::int64_t rows, std::int64_t length) {
  bool whole = static_cast<std::int64_t>(stretches.size()) == rows;
  for (const Stretch& stretch : stretches) whole = whole && stretch.length == length;
  if (whole) return {{0, rows, length}};
  std::vector<Segment> result;
  for (const Stretch& stretch : stretches) result.push_back({stretch.begin, 1, stretch.length});
  return result;
}

struct DocumentAttention : torch::autograd::Function<DocumentAttention> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const std::vector<Segment>& parts, double scale) {
    const at::Tensor dense_q = q.contiguous(), dense_k = k.contiguous(), dense_v = v.contiguous();
    std::int64_t covered = 0;
    for (const Segment& part : parts) covered += part.batch * part.length;
    at::Tensor out = covered == q.size(0) ? at::empty_like(dense_q) : at::zeros_like(dense_q);
    variable_list saved{dense_q, dense_k, dense_v, out};
    for (const Segment& part : parts) {
      const auto view = [&](const at::Tensor& x) { return sequences(x, part.begin, part.batch, part.length); };
      auto [result, logsumexp] = at::_scaled_dot_product_flash_attention_for_cpu(
          view(dense_q), view(dense_k), view(dense_v), 0.0, /*is_causal=*/true, {}, scale);
      view(out).copy_(result);
      saved.push_back(logsumexp);
    }
    ctx->save_for_backward(saved);
    std::vector<std::int64_t> flat;
    for (const Segment& part : parts) flat.insert(flat.end(), {part.begin, part.batch, part.length});
    ctx->saved_data["segments"] = flat;
    ctx->saved_data["scale"] = scale;
    return out;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const variable_list saved = ctx->get_saved_variables();
    const std::vector<std::int64_t> flat = ctx->saved_data["segments"].toIntVector();
    const at::Tensor dout = gradients[0].contiguous();
    variable_list results{at::zeros_like(saved[0]), at::zeros_like(saved[1]), at::zeros_like(saved[2])};
    for (std::size_t i = 0; i < flat.size() / 3; ++i) {
      const auto view = [&](const at::Tensor& x) { return sequences(x, flat[3 * i], flat[3 * i + 1], flat[3 * i + 2]); };
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

}  // namespace

at::Tensor document_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                              const std::vector<Stretch>& stretches, std::int64_t rows, std::int64_t length,
                              double scale) {
  require(q.dim() == 3 && k.dim() == 3 && q.size(0) == rows * length, "document_attention: q should have shape (",
          rows * length, ", H, D), found ", q.sizes());
  require_shape(v, k.sizes(), "document_attention", "v");
  require_shape(k, {q.size(0), k.size(1), q.size(2)}, "document_attention", "k");
  require(q.size(1) % k.size(1) == 0, "document_attention: ", q.size(1), " query heads are no multiple of ", k.size(1),
          " key heads");
  return DocumentAttention::apply(q, k, v, segments(stretches, rows, length), scale);
}

}  // namespace lathe
