#include "models/ops/ops.h"

#include <ATen/ATen.h>

namespace lathe {

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps) {
  const at::Tensor wide = x.to(at::kFloat);
  const at::Tensor scale = at::rsqrt(wide.pow(2).mean(-1, /*keepdim=*/true) + eps);
  return (wide * scale * weight.to(at::kFloat)).to(x.scalar_type());
}

std::pair<at::Tensor, at::Tensor> add_rms_norm(const at::Tensor& residual, const at::Tensor& branch,
                                               const at::Tensor& weight, double eps) {
  const at::Tensor sum = residual + branch;
  return {sum, rms_norm(sum, weight, eps)};
}

at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up) {
  return (at::silu(gate.to(at::kFloat)) * up.to(at::kFloat)).to(gate.scalar_type());
}

at::Tensor rotary(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin,
                  const at::Tensor& positions) {
  const at::Tensor c = cos.index_select(0, positions).unsqueeze(1);  // (N, 1, D/2)
  const at::Tensor s = sin.index_select(0, positions).unsqueeze(1);
  const auto halves = x.to(at::kFloat).chunk(2, -1);
  return at::cat({halves[0] * c - halves[1] * s, halves[1] * c + halves[0] * s}, -1).to(x.scalar_type());
}

at::Tensor document_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                              const std::vector<Stretch>& stretches, std::int64_t, std::int64_t,
                              double scale) {
  const std::int64_t groups = q.size(1) / k.size(1);
  std::vector<at::Tensor> parts;
  std::int64_t done = 0;
  for (const Stretch& stretch : stretches) {
    if (stretch.begin > done) parts.push_back(at::zeros({stretch.begin - done, q.size(1), q.size(2)}, q.options()));
    const auto heads = [&](const at::Tensor& x, std::int64_t repeats) {  // (L, H, D) -> (1, H, L, D)
      at::Tensor part = x.narrow(0, stretch.begin, stretch.length).transpose(0, 1);
      return (repeats > 1 ? part.repeat_interleave(repeats, 0) : part).unsqueeze(0);
    };
    const at::Tensor out = at::scaled_dot_product_attention(heads(q, 1), heads(k, groups), heads(v, groups), {}, 0.0,
                                                            /*is_causal=*/true, scale);
    parts.push_back(out.squeeze(0).transpose(0, 1));
    done = stretch.begin + stretch.length;
  }
  if (done < q.size(0)) parts.push_back(at::zeros({q.size(0) - done, q.size(1), q.size(2)}, q.options()));
  return at::cat(parts, 0);
}

}  // namespace lathe
