#pragma once
// The fused operations of a block, differentiable, CPU kernels compiled per instruction set and chosen at run
// time (models/ops/*.kernel.cpp). x may be fp32 or bf16; arithmetic is fp32. Letters: N tokens, C hidden, I
// MLP width, H query heads, K key/value heads, D head size.
#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "data/pipeline/batch.h"

namespace lathe {

// x * rsqrt(mean(x^2) + eps) * (offset + weight) (arXiv 1910.07467). x (N, C), weight (C).
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps, double offset = 0);
// (residual + branch, rms_norm of it) in one pass over memory.
std::pair<at::Tensor, at::Tensor> add_rms_norm(const at::Tensor& residual, const at::Tensor& branch,
                                               const at::Tensor& weight, double eps, double offset = 0);
// silu(gate) * up (arXiv 2002.05202). Both (N, I).
at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up);
// Rotary embedding in Hugging Face's half-split layout. x (N, H, D); cos, sin (P, D/2) fp32; positions (N)
// int64.
at::Tensor rotary(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin,
                  const at::Tensor& positions);
// How scores become weights.
struct AttentionRule {
  double scale = 1;
  std::int64_t window = 0;  // a token sees so many, itself included; 0: all before it
  double softcap = 0;       // c * tanh(score / c) before the softmax (arXiv 2408.00118); 0: none
};
// Causal attention inside each stretch, never across; padding slots give 0. q (N, H, D), k and v (N, K, D) ->
// (N, H, D). rows and length describe N = rows * length: when every stretch is a whole row one batched call
// is made. What lies outside a window is skipped by blocks.
at::Tensor document_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                              const std::vector<Stretch>& stretches, std::int64_t rows, std::int64_t length,
                              const AttentionRule& rule);
// softmax(q k^T / sqrt(D)) v, every token of a picture seeing every key. q (B, T, H, D), k and v (B, S, H,
// D), tokens possibly apart -> (B, T, H, D).
at::Tensor full_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v);
// What several linear layers say of a picture's queries, keys and values, (B * T, H * D), rows possibly
// apart; the norms (D) are RMSNorms of a head's channels (eps 1e-6), or undefined.
struct HeadParts {
  at::Tensor query, key, value, query_norm, key_norm;
};
// q, k and v (B, sum of T, H, D) for full_attention: queries and keys normed, the sides' tokens one behind
// the other.
std::array<at::Tensor, 3> join_heads(const std::vector<HeadParts>& sides, std::int64_t batch,
                                     std::int64_t heads);
// What a modulated norm does to every row of a picture: shift and scale (B, C), rows possibly apart.
struct Modulation {
  at::Tensor shift, scale;
  double eps = 1e-6;
};
// LayerNorm without weights, then x * (1 + scale) + shift (arXiv 2212.09748). x (B, T, C).
at::Tensor modulated_norm(const at::Tensor& x, const Modulation& by);
// (x + gate * branch, modulated_norm of it) in one pass over memory. branch as x, gate (B, C).
std::pair<at::Tensor, at::Tensor> add_modulated_norm(const at::Tensor& x, const at::Tensor& branch,
                                                     const at::Tensor& gate, const Modulation& by);
// Norm over the places and the channels of each group (arXiv 1803.08494), then * weight + bias, then SiLU
// when asked for, in one pass. x (B, C, H, W), weight and bias (C) -> the same, channels last in memory.
struct GroupNormRule {
  std::int64_t groups = 1;
  double eps = 1e-5;
  bool silu = false;
};
at::Tensor group_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                      const GroupNormRule& rule);
// GELU by tanh (arXiv 1606.08415), and x * sigmoid(1.702 x). Any shape.
at::Tensor gelu_tanh(const at::Tensor& x);
at::Tensor gelu_quick(const at::Tensor& x);
// Of new queries (B, H, T, D) over everything so far, keys and values (B, K, S, D), the last T of them new ->
// (B, H, T, D). No gradient.
at::Tensor cached_attention(const at::Tensor& q, const at::Tensor& keys, const at::Tensor& values,
                            const AttentionRule& rule);
// scale * a b + addend, rounded once: a (N, I), b (I, O), which may be a transposed weight; addend (N, O) or
// (O). Rows may be strided. No gradient of its own. In bf16 the library generates code for each shape and
// keeps it (about 14 MB in a model's forward and backward pass). It takes whole multiples of kRecurringRows,
// batches of one shape; a kernel of our own takes the rest where blocks are multiplied (kernels.h), elsewhere
// they are cut into pieces of recurring shapes. Below kFewRows (generated tokens) packing the other matrix
// costs more than the product.
constexpr std::int64_t kRecurringRows = 256;
constexpr std::int64_t kTailRows = 64;
constexpr std::int64_t kFewRows = 16;
struct ProductTerm {
  double scale = 1;
  at::Tensor addend{};
  at::Tensor more_a{}, more_b{};  // instead of those: a b + more_a (N, R) more_b (R, O), R small
};
at::Tensor product(const at::Tensor& a, const at::Tensor& b, const ProductTerm& term = {});
at::Tensor& product_into(at::Tensor& out, const at::Tensor& a, const at::Tensor& b,
                         const ProductTerm& term = {});
// x (N, C) with rows of zeros below: (rows, C).
at::Tensor padded_rows(const at::Tensor& x, std::int64_t rows);
// x, or a copy of it whose rows are each dense.
at::Tensor rows_dense(const at::Tensor& x);
// scale * a^T b, rounded once to a's type: the gradient of a weight (O, I) from that of the product a (N, O)
// and the input b (N, I). Rows may be strided. No gradient of its own. Where blocks are multiplied
// faster than at::mm(a.t(), b).
at::Tensor transposed_product(const at::Tensor& a, const at::Tensor& b, double scale = 1);
// The same into `sum` (O, I) fp32, onto what is there when `add`.
void transposed_product_into(at::Tensor& sum, const at::Tensor& a, const at::Tensor& b, bool add);
// Inverted dropout whose mask is a function of (seed, step, site, document, position, channel). x (N, C).
struct DropoutKey {
  std::uint64_t seed = 0, step = 0;
  std::uint32_t site = 0;
};
at::Tensor counter_dropout(const at::Tensor& x, double probability, const DropoutKey& key,
                           const std::vector<Stretch>& stretches);

}  // namespace lathe
