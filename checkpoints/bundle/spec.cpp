#include "checkpoints/bundle/spec.h"

#include <utility>

namespace lathe {

namespace {

class ParameterList {
 public:
  explicit ParameterList(const DecoderSpec& spec) : spec_(spec) {}

  void add(std::string name, std::vector<std::int64_t> shape) {
    list_.push_back({std::move(name), std::move(shape)});
  }
  void norm(const std::string& name) {
    add(name + ".weight", {spec_.hidden_size});
    if (spec_.norm_bias) add(name + ".bias", {spec_.hidden_size});
  }
  void linear(const std::string& name, std::int64_t out, std::int64_t in, bool bias) {
    add(name + ".weight", {out, in});
    if (bias) add(name + ".bias", {out});
  }
  void layer(const std::string& prefix) {
    const std::int64_t hidden = spec_.hidden_size, wide = spec_.intermediate_size;
    const std::int64_t queries = spec_.num_heads * spec_.head_size,
                       keys = spec_.num_kv_heads * spec_.head_size;
    norm(prefix + "input_layernorm");
    linear(prefix + "self_attn.q_proj", queries, hidden, spec_.qkv_bias);
    linear(prefix + "self_attn.k_proj", keys, hidden, spec_.qkv_bias);
    linear(prefix + "self_attn.v_proj", keys, hidden, spec_.qkv_bias);
    linear(prefix + "self_attn.o_proj", hidden, queries, spec_.output_bias);
    if (spec_.qk_norm) {
      add(prefix + "self_attn.q_norm.weight", {spec_.head_size});
      add(prefix + "self_attn.k_norm.weight", {spec_.head_size});
    }
    norm(prefix + "post_attention_layernorm");
    if (spec_.sandwich_norms) {
      norm(prefix + "pre_feedforward_layernorm");
      norm(prefix + "post_feedforward_layernorm");
    }
    if (spec_.mlp == MlpKind::Gated) linear(prefix + "mlp.gate_proj", wide, hidden, spec_.mlp_bias);
    linear(prefix + "mlp.up_proj", wide, hidden, spec_.mlp_bias);
    linear(prefix + "mlp.down_proj", hidden, wide, spec_.mlp_bias);
  }
  std::vector<ParameterInfo> take() { return std::move(list_); }

 private:
  const DecoderSpec& spec_;
  std::vector<ParameterInfo> list_;
};

}  // namespace

std::vector<ParameterInfo> decoder_parameters(const DecoderSpec& spec) {
  ParameterList list(spec);
  list.add("model.embed_tokens.weight", {spec.vocab_size, spec.hidden_size});
  if (spec.position == PositionKind::Learned)
    list.add("model.position_embeddings.weight", {spec.max_positions, spec.hidden_size});
  for (std::int64_t i = 0; i < spec.num_layers; ++i) list.layer("model.layers." + std::to_string(i) + ".");
  list.norm("model.norm");
  if (!spec.tie_embeddings) list.add("lm_head.weight", {spec.vocab_size, spec.hidden_size});
  return list.take();
}

std::int64_t parameter_count(const DecoderSpec& spec) {
  std::int64_t total = 0;
  for (const ParameterInfo& p : decoder_parameters(spec)) {
    std::int64_t count = 1;
    for (const std::int64_t size : p.shape) count *= size;
    total += count;
  }
  return total;
}

}  // namespace lathe
