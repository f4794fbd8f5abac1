#include "checkpoints/bundle/spec.h"

#include "checkpoints/bundle/family.h"
#include "tests/unit/checkpoints/support.h"

namespace lathe {
namespace {

DecoderSpec described(const std::string& config) {
  const Json json = Json::parse(config);
  return family_of_config(json, "config.json").describe(json, "config.json");
}

// Published parameter counts (model cards, and transformers' num_parameters()).
TEST_CASE("parameter counts are those of published models") {
  CHECK(parameter_count(
            described(R"({"model_type":"gpt2","vocab_size":50257,"n_embd":768,"n_layer":12,"n_head":12})")) ==
        124'439'808);
  CHECK(parameter_count(described(
            R"({"model_type":"gpt2","vocab_size":50257,"n_embd":1600,"n_layer":48,"n_head":25})")) ==
        1'557'611'200);
  CHECK(parameter_count(described(
            R"({"model_type":"llama","vocab_size":32000,"hidden_size":4096,"intermediate_size":11008,
      "num_hidden_layers":32,"num_attention_heads":32})")) == 6'738'415'616);
  CHECK(parameter_count(described(
            R"({"model_type":"llama","vocab_size":128256,"hidden_size":4096,"intermediate_size":14336,
      "num_hidden_layers":32,"num_attention_heads":32,"num_key_value_heads":8})")) == 8'030'261'248);
  CHECK(parameter_count(described(
            R"({"model_type":"llama","vocab_size":128256,"hidden_size":2048,"intermediate_size":8192,
      "num_hidden_layers":16,"num_attention_heads":32,"num_key_value_heads":8,"head_dim":64,"tie_word_embeddings":true})")) ==
        1'235'814'400);
}

TEST_CASE("the order of a small decoder's parameters is fixed, biases follow their weights") {
  DecoderSpec spec;
  spec.vocab_size = 11, spec.hidden_size = 4, spec.intermediate_size = 6, spec.num_layers = 1;
  spec.num_heads = 2, spec.num_kv_heads = 1, spec.head_size = 3, spec.max_positions = 7;
  spec.qkv_bias = spec.norm_bias = true;
  spec.position = PositionKind::Learned;
  std::string text;
  for (const ParameterInfo& info : decoder_parameters(spec))
    text += info.name + " " + shape_text(info.shape) + "\n";
  CHECK(text ==
        "model.embed_tokens.weight (11, 4)\n"
        "model.position_embeddings.weight (7, 4)\n"
        "model.layers.0.input_layernorm.weight (4)\n"
        "model.layers.0.input_layernorm.bias (4)\n"
        "model.layers.0.self_attn.q_proj.weight (6, 4)\n"
        "model.layers.0.self_attn.q_proj.bias (6)\n"
        "model.layers.0.self_attn.k_proj.weight (3, 4)\n"
        "model.layers.0.self_attn.k_proj.bias (3)\n"
        "model.layers.0.self_attn.v_proj.weight (3, 4)\n"
        "model.layers.0.self_attn.v_proj.bias (3)\n"
        "model.layers.0.self_attn.o_proj.weight (4, 6)\n"
        "model.layers.0.post_attention_layernorm.weight (4)\n"
        "model.layers.0.post_attention_layernorm.bias (4)\n"
        "model.layers.0.mlp.gate_proj.weight (6, 4)\n"
        "model.layers.0.mlp.up_proj.weight (6, 4)\n"
        "model.layers.0.mlp.down_proj.weight (4, 6)\n"
        "model.norm.weight (4)\n"
        "model.norm.bias (4)\n"
        "lm_head.weight (11, 4)\n");
  spec.tie_embeddings = true;
  spec.mlp = MlpKind::Plain;
  CHECK(decoder_parameters(spec).size() == 17);
}

}  // namespace
}  // namespace lathe
