#include "checkpoints/bundle/family.h"
#include "tests/unit/checkpoints/support.h"

namespace lathe {
namespace {

// As transformers 4 saves Llama 3.2 1B.
const char* kLlama4 = R"({
  "architectures": ["LlamaForCausalLM"], "attention_bias": false, "attention_dropout": 0.0, "bos_token_id": 128000,
  "eos_token_id": [128001, 128008, 128009], "head_dim": 64, "hidden_act": "silu", "hidden_size": 2048,
  "initializer_range": 0.02, "intermediate_size": 8192, "max_position_embeddings": 131072, "mlp_bias": false,
  "model_type": "llama", "num_attention_heads": 32, "num_hidden_layers": 16, "num_key_value_heads": 8,
  "pretraining_tp": 1, "rms_norm_eps": 1e-05,
  "rope_scaling": {"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
                   "original_max_position_embeddings": 8192, "rope_type": "llama3"},
  "rope_theta": 500000.0, "tie_word_embeddings": true, "torch_dtype": "bfloat16", "transformers_version": "4.45.0.dev0",
  "use_cache": true, "vocab_size": 128256})";
// The same as transformers 5 saves it.
const char* kLlama5 = R"({
  "architectures": ["LlamaForCausalLM"], "attention_bias": false, "attention_dropout": 0.0, "bos_token_id": 128000,
  "dtype": "bfloat16", "eos_token_id": [128001, 128008, 128009], "head_dim": 64, "hidden_act": "silu",
  "hidden_size": 2048, "initializer_range": 0.02, "intermediate_size": 8192, "max_position_embeddings": 131072,
  "mlp_bias": false, "model_type": "llama", "num_attention_heads": 32, "num_hidden_layers": 16,
  "num_key_value_heads": 8, "pad_token_id": null, "pretraining_tp": 1, "rms_norm_eps": 1e-05,
  "rope_parameters": {"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
                      "original_max_position_embeddings": 8192, "rope_theta": 500000.0, "rope_type": "llama3"},
  "tie_word_embeddings": true, "transformers_version": "5.0.0", "use_cache": true, "vocab_size": 128256})";
// The hub's gpt2, which is older than most of its fields.
const char* kGpt2 = R"({
  "activation_function": "gelu_new", "architectures": ["GPT2LMHeadModel"], "attn_pdrop": 0.1, "bos_token_id": 50256,
  "embd_pdrop": 0.1, "eos_token_id": 50256, "initializer_range": 0.02, "layer_norm_epsilon": 1e-05,
  "model_type": "gpt2", "n_ctx": 1024, "n_embd": 768, "n_head": 12, "n_layer": 12, "n_positions": 1024,
  "resid_pdrop": 0.1, "summary_activation": null, "summary_first_dropout": 0.1, "summary_proj_to_labels": true,
  "summary_type": "cls_index", "summary_use_proj": true,
  "task_specific_params": {"text-generation": {"do_sample": true, "max_length": 50}}, "vocab_size": 50257})";

DecoderSpec described(const Json& json) { return family_of_config(json, "c.json").describe(json, "c.json"); }
Json with(const char* base, const std::string& key, const std::string& value) {
  Json json = Json::parse(base);
  json[key] = Json::parse(value);
  return json;
}
std::string refusal(const char* base, const std::string& key, const std::string& value) {
  return error_of([&] { described(with(base, key, value)); });
}

TEST_CASE("Llama 3.2's config means the same in the spelling of transformers 4 and of 5") {
  for (const char* text : {kLlama4, kLlama5}) {
    const DecoderSpec spec = described(Json::parse(text));
    CHECK(spec.vocab_size == 128256);
    CHECK(spec.hidden_size == 2048);
    CHECK(spec.intermediate_size == 8192);
    CHECK(spec.num_layers == 16);
    CHECK(spec.num_heads == 32);
    CHECK(spec.num_kv_heads == 8);
    CHECK(spec.head_size == 64);
    CHECK(spec.max_positions == 131072);
    CHECK(spec.norm == NormKind::RMSNorm);
    CHECK(spec.norm_eps == 1e-5);
    CHECK_FALSE(spec.norm_bias);
    CHECK(spec.mlp == MlpKind::Gated);
    CHECK(spec.activation == Activation::SiLU);
    CHECK(spec.position == PositionKind::Rotary);
    CHECK(spec.rotary.theta == 500000);
    CHECK(spec.rotary.scaling == RotaryScaling::Llama3);
    CHECK(spec.rotary.factor == 32);
    CHECK(spec.rotary.low_freq_factor == 1);
    CHECK(spec.rotary.high_freq_factor == 4);
    CHECK(spec.rotary.original_max_position_embeddings == 8192);
    CHECK_FALSE(spec.qkv_bias);
    CHECK(spec.tie_embeddings);
    CHECK(spec.attention_scale == 0);
    CHECK_FALSE(spec.scaled_residual_init);
  }
}

TEST_CASE("absent and null keys take transformers' defaults") {
  const DecoderSpec spec = described(Json::parse(R"({"model_type":"llama","vocab_size":100,"hidden_size":24,
      "intermediate_size":64,"num_hidden_layers":1,"num_attention_heads":3,"num_key_value_heads":null,"rope_scaling":null})"));
  CHECK(spec.num_kv_heads == 3);
  CHECK(spec.head_size == 8);
  CHECK(spec.norm_eps == 1e-6);
  CHECK(spec.max_positions == 2048);
  CHECK(spec.rotary.theta == 10000);
  CHECK(spec.rotary.scaling == RotaryScaling::None);
  CHECK_FALSE(spec.tie_embeddings);
}

TEST_CASE("GPT-2's config") {
  const DecoderSpec spec = described(Json::parse(kGpt2));
  CHECK(spec.hidden_size == 768);
  CHECK(spec.intermediate_size == 3072);
  CHECK(spec.num_kv_heads == 12);
  CHECK(spec.head_size == 64);
  CHECK(spec.max_positions == 1024);
  CHECK(spec.norm == NormKind::LayerNorm);
  CHECK(spec.norm_bias);
  CHECK(spec.norm_eps == 1e-5);
  CHECK(spec.mlp == MlpKind::Plain);
  CHECK(spec.activation == Activation::GeluTanh);
  CHECK(spec.position == PositionKind::Learned);
  CHECK((spec.qkv_bias && spec.output_bias && spec.mlp_bias));
  CHECK(spec.tie_embeddings);
  CHECK(spec.attention_scale == 0);
  CHECK(spec.scaled_residual_init);
  CHECK(described(with(kGpt2, "scale_attn_weights", "false")).attention_scale == 1);
  CHECK(described(with(kGpt2, "n_inner", "100")).intermediate_size == 100);
  CHECK(described(with(kGpt2, "activation_function", "\"gelu\"")).activation == Activation::Gelu);
  CHECK(described(with(kGpt2, "reorder_and_upcast_attn", "true")).num_layers == 12);
}

TEST_CASE("fields that change nothing are read over") {
  for (const auto& [key, value] : std::vector<std::pair<std::string, std::string>>{
           {"pretraining_tp", "4"},
           {"attention_dropout", "0.1"},
           {"use_cache", "false"},
           {"sliding_window", "null"},
           {"quantization_config", "null"},
           {"partial_rotary_factor", "1.0"},
           {"_name_or_path", "\"x\""},
           {"num_experts", "0"},
           {"layer_types", R"(["full_attention","full_attention"])"},
           {"logits_scaling", "1"}})
    CHECK(described(with(kLlama4, key, value)).num_layers == 16);
}

TEST_CASE("fields that change the maths and are not supported are refused by name") {
  for (const auto& [key, value] :
       std::vector<std::pair<std::string, std::string>>{{"hidden_act", "\"gelu\""},
                                                        {"hidden_act", "\"relu2\""},
                                                        {"quantization_config", R"({"quant_method":"gptq"})"},
                                                        {"sliding_window", "4096"},
                                                        {"auto_map", R"({"AutoModel":"x.py"})"},
                                                        {"num_local_experts", "8"},
                                                        {"final_logit_softcapping", "30.0"},
                                                        {"embedding_multiplier", "12"},
                                                        {"partial_rotary_factor", "0.5"},
                                                        {"layer_types", R"(["sliding_attention"])"},
                                                        {"qk_norm", "true"},
                                                        {"no_rope_layers", "[1]"}}) {
    INFO(key);
    CHECK(refusal(kLlama4, key, value).find("c.json: '" + key + "'") != std::string::npos);
  }
  CHECK(refusal(kGpt2, "scale_attn_by_inverse_layer_idx", "true").find("'scale_attn_by_inverse_layer_idx'") !=
        std::string::npos);
  CHECK(refusal(kGpt2, "add_cross_attention", "true").find("'add_cross_attention'") != std::string::npos);
  CHECK(refusal(kGpt2, "activation_function", "\"tanh\"").find("'activation_function'") != std::string::npos);
}

TEST_CASE("values of a wrong type or size are refused by name") {
  for (const auto& [key, value] :
       std::vector<std::pair<std::string, std::string>>{{"hidden_size", "\"2048\""},
                                                        {"hidden_size", "2048.5"},
                                                        {"hidden_size", "0"},
                                                        {"hidden_size", "-1"},
                                                        {"hidden_size", "18446744073709551615"},
                                                        {"num_hidden_layers", "1000000"},
                                                        {"vocab_size", "true"},
                                                        {"vocab_size", "null"},
                                                        {"rms_norm_eps", "\"1e-5\""},
                                                        {"rms_norm_eps", "0"},
                                                        {"tie_word_embeddings", "1"},
                                                        {"rope_theta", "[1]"},
                                                        {"hidden_act", "3"}}) {
    INFO(key << " " << value);
    CHECK(refusal(kLlama4, key, value).find("'" + key + "' must be") != std::string::npos);
  }
  CHECK(refusal(kLlama4, "num_key_value_heads", "5").find("cannot share 5") != std::string::npos);
  CHECK(refusal(kLlama4, "head_dim", "63").find("must be even") != std::string::npos);
  CHECK(error_of([] { described(Json::parse("[]")); }).find("'model_type' is missing") != std::string::npos);
  CHECK(error_of([] {
          described(Json::parse(R"({"model_type":"bert"})"));
        }).find("supported are gemma2, gemma3_text, gpt2, llama") != std::string::npos);
}

TEST_CASE("every kind of rotary scaling") {
  const auto rotary = [](const std::string& key, const std::string& value) {
    Json json = Json::parse(kLlama4);
    json.erase("rope_scaling");
    json[key] = Json::parse(value);
    return described(json).rotary;
  };
  CHECK(rotary("rope_scaling", R"({"type":"linear","factor":4})").scaling == RotaryScaling::Linear);
  CHECK(rotary("rope_scaling", R"({"type":"linear","factor":4})").factor == 4);
  CHECK(rotary("rope_scaling", R"({"rope_type":"dynamic","factor":2.5})").scaling == RotaryScaling::Dynamic);
  CHECK(rotary("rope_parameters", R"({"rope_type":"default","rope_theta":1234.5})").theta == 1234.5);
  CHECK(rotary("rope_parameters", R"({"rope_type":"default"})").theta == 500000);
  const RotarySpec yarn =
      rotary("rope_scaling",
             R"({"rope_type":"yarn","factor":4.0,"original_max_position_embeddings":32768,"beta_fast":16})");
  CHECK(yarn.scaling == RotaryScaling::Yarn);
  CHECK(yarn.beta_fast == 16);
  CHECK(yarn.beta_slow == 1);
  CHECK(yarn.attention_factor == 0);
  // (0.1 * 0.707 * ln 40 + 1) / (0.1 * 1 * ln 40 + 1)
  CHECK(rotary("rope_scaling", R"({"rope_type":"yarn","factor":40,"mscale":0.707,"mscale_all_dim":1.0})")
            .attention_factor == Approx(0.921040).epsilon(1e-5));
  CHECK(yarn.truncate);
  CHECK_FALSE(rotary("rope_parameters", R"({"rope_type":"yarn","factor":4,"truncate":false})").truncate);
  // Without a factor it is the ratio of the lengths: 131072 over the original one.
  CHECK(
      rotary("rope_scaling", R"({"rope_type":"yarn","factor":null,"original_max_position_embeddings":32768})")
          .factor == 4);
  std::string halves = "[1";
  for (int i = 1; i < 32; ++i) halves += ",1.5";
  halves += "]";
  const std::string lists = R"("short_factor":)" + halves + R"(,"long_factor":)" + halves;
  const RotarySpec longrope =
      rotary("rope_scaling", R"({"type":"longrope","original_max_position_embeddings":4096,)" + lists + "}");
  CHECK(longrope.scaling == RotaryScaling::LongRope);
  CHECK(longrope.factor == 32);
  CHECK(longrope.short_factors.size() == 32);
  CHECK(longrope.long_factors.at(31) == 1.5);
  for (const std::string bad :
       {R"({"rope_type":"longrope","factor":2})", R"({"rope_type":"linear"})",
        R"({"rope_type":"longrope","short_factor":[1,-1],"long_factor":[1]})",
        R"({"rope_type":"proportional"})", R"({"rope_type":"linear","factor":-1})",
        R"({"rope_type":"llama3","factor":8})", R"({"full_attention":{"rope_type":"default"}})",
        R"({"rope_type":"yarn","factor":4,"truncate":0})",
        R"({"rope_type":"default","partial_rotary_factor":0.5})"}) {
    INFO(bad);
    CHECK(error_of([&] { rotary("rope_parameters", bad); }).find("'rope_parameters'") != std::string::npos);
  }
}

TEST_CASE("families are found by name") {
  CHECK(family_by_name("llama").architectures[0] == "LlamaForCausalLM");
  CHECK(family_by_name("gpt2").model_types[0] == "gpt2");
  CHECK(error_of([] { family_by_name("lama"); }) ==
        "model family 'lama' is not known; known are gemma2, gemma3, gpt2, llama, mistral, qwen2, qwen3 (did "
        "you mean 'llama'?)");
}

}  // namespace
}  // namespace lathe
