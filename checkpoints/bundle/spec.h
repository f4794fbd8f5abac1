#pragma once
// What a decoder is, as plain data: one Decoder module (models/decoder) runs any spec; exporters, plan and
// the KV cache read the same. A family's describe(config) fills it.
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace lathe {

enum class NormKind { RMSNorm, LayerNorm };
enum class MlpKind { Gated, Plain };  // Gated: down(act(gate(x)) * up(x)); Plain: down(act(up(x)))
enum class Activation { SiLU, GeluTanh, Gelu, Relu };
enum class PositionKind { Rotary, Learned };
enum class RotaryScaling { None, Linear, Dynamic, Llama3, Yarn, LongRope };

struct RotarySpec {
  double theta = 10000;
  RotaryScaling scaling = RotaryScaling::None;
  double factor = 1, low_freq_factor = 1, high_freq_factor = 4;  // Llama 3
  double beta_fast = 32, beta_slow = 1;                          // YaRN (arXiv 2309.00071)
  bool truncate = true;         // YaRN: the ramp begins and ends at whole dimensions
  double attention_factor = 0;  // YaRN, LongRoPE: cosines and sines are multiplied with it; 0: its default
  std::int64_t original_max_position_embeddings = 0;
  // LongRoPE (arXiv 2402.13753): what each frequency is divided by, in sequences up to the original length
  // and beyond.
  std::vector<double> short_factors, long_factors;
  std::vector<double>
      frequency_factors;  // each frequency is divided by its own, on top of the scaling; empty: none
};

struct DecoderSpec {
  std::int64_t vocab_size = 0, hidden_size = 0, intermediate_size = 0, num_layers = 0;
  std::int64_t num_heads = 0, num_kv_heads = 0, head_size = 0;
  std::int64_t max_positions = 0;
  NormKind norm = NormKind::RMSNorm;
  double norm_eps = 1e-5;
  bool norm_bias = false;
  double norm_offset = 0;       // norms multiply with offset + weight (Gemma: 1)
  bool qk_norm = false;         // RMSNorm of each head's queries and keys, before positions
  bool sandwich_norms = false;  // branches are normed once more before they are added (Gemma)
  MlpKind mlp = MlpKind::Gated;
  Activation activation = Activation::SiLU;
  PositionKind position = PositionKind::Rotary;
  RotarySpec rotary;
  std::optional<RotarySpec> local_rotary;  // of the layers with a window, when theirs differs
  std::vector<std::int64_t>
      windows;  // per layer: tokens that one sees, itself included; 0 all; empty: no windows
  bool qkv_bias = false, output_bias = false, mlp_bias = false;
  bool tie_embeddings = false;
  double attention_scale = 0;                       // 0: 1 / sqrt(head_size)
  double attention_softcap = 0, final_softcap = 0;  // scores and logits become c * tanh(x / c); 0: they stay
  double embedding_scale = 1;                       // rounded to the weights' type
  double initializer_range = 0.02;
  bool scaled_residual_init = false;  // GPT-2: residual projections / sqrt(2 * layers)
  // The internal parameter names are Hugging Face Llama's:
  //   model.embed_tokens.weight  (V, C)         model.position_embeddings.weight (P, C), Learned only
  //   model.layers.N.input_layernorm.{weight,bias}   model.layers.N.post_attention_layernorm.{weight,bias}
  //   model.layers.N.self_attn.{q,k,v,o}_proj.{weight,bias}
  //   model.layers.N.mlp.{gate,up,down}_proj.{weight,bias} model.layers.N.self_attn.{q,k}_norm.weight (D),
  //   qk_norm only model.layers.N.{pre,post}_feedforward_layernorm.weight, sandwich_norms only;
  //   post_attention_layernorm is then the norm of attention's branch, as in Gemma's own names
  //   model.norm.{weight,bias}   lm_head.weight (absent when tied)
  std::int64_t window(std::int64_t layer) const {
    return windows.empty() ? 0 : windows[static_cast<std::size_t>(layer)];
  }
};

// Every parameter of a spec: internal name and shape, in a fixed order.
struct ParameterInfo {
  std::string name;
  std::vector<std::int64_t> shape;
};
std::vector<ParameterInfo> decoder_parameters(const DecoderSpec& spec);
std::int64_t parameter_count(const DecoderSpec& spec);

}  // namespace lathe
