#include "models/decoder/block.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/silu.h>

#include <cmath>

#include "models/ops/ops.h"

namespace lathe {
namespace {

at::Tensor activate(const at::Tensor& x, Activation activation) {
  switch (activation) {
    case Activation::SiLU:
      return at::silu(x);
    case Activation::GeluTanh:
      return at::gelu(x, "tanh");
    case Activation::Gelu:
      return at::gelu(x, "none");
    case Activation::Relu:
      return at::relu(x);
  }
  return x;
}

// Room for `length` more tokens, by doubling.
void reserve(at::Tensor& buffer, std::int64_t used, std::int64_t length) {
  const std::int64_t capacity = buffer.size(2);
  if (used + length <= capacity) return;
  at::Tensor larger =
      at::empty({buffer.size(0), buffer.size(1), std::max(used + length, 2 * capacity), buffer.size(3)},
                buffer.options());
  larger.narrow(2, 0, used).copy_(buffer.narrow(2, 0, used));
  buffer = larger;
}

}  // namespace

Attention::Attention(const DecoderSpec& spec, std::int64_t layer, const LinearStorage& storage)
    : heads_(spec.num_heads), kv_heads_(spec.num_kv_heads), head_size_(spec.head_size), layer_(layer) {
  rule_.scale =
      spec.attention_scale > 0 ? spec.attention_scale : 1 / std::sqrt(static_cast<double>(head_size_));
  rule_.window = spec.window(layer);
  rule_.softcap = spec.attention_softcap;
  local_ = spec.local_rotary && rule_.window > 0;
  const std::int64_t channels = spec.hidden_size, q = heads_ * head_size_, kv = kv_heads_ * head_size_;
  const auto part = [&](const char* name, std::int64_t width) {
    return register_module(name, std::make_shared<Linear>(channels, width, spec.qkv_bias, storage));
  };
  const auto q_proj = part("q_proj", q), k_proj = part("k_proj", kv), v_proj = part("v_proj", kv);
  qkv_ = LinearGroup({q_proj, k_proj, v_proj});
  output_ = register_module("o_proj", std::make_shared<Linear>(q, channels, spec.output_bias, storage));
  if (!spec.qk_norm) return;
  query_norm_ = register_module("q_norm", std::make_shared<Norm>(spec, head_size_, storage.dtype));
  key_norm_ = register_module("k_norm", std::make_shared<Norm>(spec, head_size_, storage.dtype));
}

at::Tensor Attention::forward(const at::Tensor& x, const Pass& pass) const {
  const QueryKeyValue t = project(x, pass);
  const at::Tensor mixed =
      !pass.caches.empty() ? attend_cached(t.q, t.k, t.v, pass)
                           : document_attention(t.q, t.k, t.v, pass.stretches, pass.rows, pass.length, rule_);
  return output_->forward(mixed.flatten(1));
}

QueryKeyValue Attention::project(const at::Tensor& x, const Pass& pass) const {
  const RotaryTable& table = local_ ? pass.local_rotary : pass.rotary;
  if (table.cos.defined() && !query_norm_)
    return project_rotary(qkv_, x, heads_, kv_heads_, {table.cos, table.sin, pass.positions});
  const auto parts = qkv_.forward(x);
  QueryKeyValue t = {parts[0].unflatten(1, {heads_, head_size_}),
                     parts[1].unflatten(1, {kv_heads_, head_size_}),
                     parts[2].unflatten(1, {kv_heads_, head_size_})};
  if (query_norm_) {
    t.q =
        query_norm_->forward(t.q.reshape({-1, head_size_})).view(t.q.sizes());  // rows are heads: (N * H, D)
    t.k = key_norm_->forward(t.k.reshape({-1, head_size_})).view(t.k.sizes());
  }
  if (table.cos.defined()) {
    t.q = rotary(t.q, table.cos, table.sin, pass.positions);
    t.k = rotary(t.k, table.cos, table.sin, pass.positions);
  }
  return t;
}

at::Tensor Attention::attend_cached(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                    const Pass& pass) const {
  const auto count = static_cast<std::int64_t>(pass.caches.size()), rows = pass.rows / count;
  std::vector<at::Tensor> mixed;
  for (std::int64_t i = 0; i < count; ++i) {
    KvCache& cache = *pass.caches[static_cast<std::size_t>(i)];
    const std::int64_t used = cache.length(), tokens = rows * pass.length;
    const auto by_head = [&](const at::Tensor& x) {  // (B * T, H, D) -> (B, H, T, D) of this cache's rows
      return x.narrow(0, i * tokens, tokens).unflatten(0, {rows, pass.length}).transpose(1, 2);
    };
    const auto append = [&](at::Tensor& buffer, const at::Tensor& x) {
      reserve(buffer, used, pass.length);
      buffer.narrow(2, used, pass.length).copy_(by_head(x));
      return buffer.narrow(2, 0, used + pass.length);
    };
    const at::Tensor keys = append(cache.keys[layer_], k), values = append(cache.values[layer_], v);
    mixed.push_back(cached_attention(by_head(q), keys, values, rule_)
                        .transpose(1, 2)
                        .reshape({tokens, heads_, head_size_}));
  }
  return count == 1 ? mixed.front() : at::cat(mixed);
}

Mlp::Mlp(const DecoderSpec& spec, const LinearStorage& storage)
    : gated_(spec.mlp == MlpKind::Gated), activation_(spec.activation) {
  const auto part = [&](const char* name, std::int64_t in, std::int64_t out) {
    return register_module(name, std::make_shared<Linear>(in, out, spec.mlp_bias, storage));
  };
  std::vector<std::shared_ptr<Linear>> inputs;
  if (gated_) inputs.push_back(part("gate_proj", spec.hidden_size, spec.intermediate_size));
  inputs.push_back(part("up_proj", spec.hidden_size, spec.intermediate_size));
  input_ = LinearGroup(inputs);
  output_ = part("down_proj", spec.intermediate_size, spec.hidden_size);
}

at::Tensor Mlp::forward(const at::Tensor& x) const {
  if (gated_ && activation_ == Activation::SiLU) return output_->forward(project_swiglu(input_, x));
  const auto parts = input_.forward(x);
  const at::Tensor active = activate(parts[0], activation_);
  return output_->forward(gated_ ? active * parts[1] : active);
}

Block::Block(const DecoderSpec& spec, std::int64_t layer, const LinearStorage& storage) : layer_(layer) {
  const auto norm = [&](const char* name) {
    return register_module(name, std::make_shared<Norm>(spec, storage.dtype));
  };
  input_norm_ = norm("input_layernorm");
  attention_ = register_module("self_attn", std::make_shared<Attention>(spec, layer, storage));
  if (spec.sandwich_norms) attention_out_norm_ = norm("post_attention_layernorm");
  middle_norm_ = norm(spec.sandwich_norms ? "pre_feedforward_layernorm" : "post_attention_layernorm");
  if (spec.sandwich_norms) mlp_out_norm_ = norm("post_feedforward_layernorm");
  mlp_ = register_module("mlp", std::make_shared<Mlp>(spec, storage));
}

Stream Block::forward(const Stream& stream, const Pass& pass) const {
  const auto out = [](const std::shared_ptr<Norm>& norm, const at::Tensor& x) {
    return norm ? norm->forward(x) : x;
  };
  const auto [before, x] = input_norm_->add(stream.residual, stream.branch);
  const at::Tensor attended = drop(out(attention_out_norm_, attention_->forward(x, pass)), pass, 1);
  const auto [middle, y] = middle_norm_->add(before, attended);
  return {middle, drop(out(mlp_out_norm_, mlp_->forward(y)), pass, 2)};
}

// Sites of dropout: 0 the embeddings, then two a block.
at::Tensor Block::drop(const at::Tensor& x, const Pass& pass, std::uint32_t place) const {
  const RunOptions& options = pass.options;
  if (!options.training || options.dropout <= 0) return x;
  const auto site = static_cast<std::uint32_t>(2 * layer_) + place;
  return counter_dropout(x, options.dropout, {options.seed, options.step, site}, pass.stretches);
}

}  // namespace lathe
