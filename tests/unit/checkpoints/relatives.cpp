// Published configs of Llama's relatives: their sizes are known, and both spellings of config.json mean the
// same.
#include <cmath>

#include "checkpoints/bundle/family.h"
#include "tests/unit/checkpoints/support.h"

namespace lathe {
namespace {

const char* kMistral = R"({"architectures": ["MistralForCausalLM"], "hidden_act": "silu", "hidden_size": 4096,
  "intermediate_size": 14336, "max_position_embeddings": 32768, "model_type": "mistral", "num_attention_heads": 32,
  "num_hidden_layers": 32, "num_key_value_heads": 8, "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "sliding_window": 4096,
  "tie_word_embeddings": false, "torch_dtype": "bfloat16", "vocab_size": 32000})";
const char* kQwen2 = R"({"architectures": ["Qwen2ForCausalLM"], "hidden_act": "silu", "hidden_size": 896,
  "intermediate_size": 4864, "max_position_embeddings": 32768, "max_window_layers": 21, "model_type": "qwen2",
  "num_attention_heads": 14, "num_hidden_layers": 24, "num_key_value_heads": 2, "rms_norm_eps": 1e-06,
  "rope_theta": 1000000.0, "sliding_window": 32768, "tie_word_embeddings": true, "use_mrope": false,
  "use_sliding_window": false, "vocab_size": 151936})";
const char* kQwen3 = R"({"architectures": ["Qwen3ForCausalLM"], "attention_bias": false, "head_dim": 128,
  "hidden_act": "silu", "hidden_size": 1024, "intermediate_size": 3072, "max_position_embeddings": 40960,
  "max_window_layers": 28, "model_type": "qwen3", "num_attention_heads": 16, "num_hidden_layers": 28,
  "num_key_value_heads": 8, "rms_norm_eps": 1e-06, "rope_scaling": null, "rope_theta": 1000000, "sliding_window": null,
  "tie_word_embeddings": true, "use_sliding_window": false, "vocab_size": 151936})";
const char* kGemma2 = R"({"architectures": ["Gemma2ForCausalLM"], "attn_logit_softcapping": 50.0,
  "final_logit_softcapping": 30.0, "head_dim": 256, "hidden_act": "gelu_pytorch_tanh",
  "hidden_activation": "gelu_pytorch_tanh", "hidden_size": 2304, "intermediate_size": 9216,
  "max_position_embeddings": 8192, "model_type": "gemma2", "num_attention_heads": 8, "num_hidden_layers": 26,
  "num_key_value_heads": 4, "query_pre_attn_scalar": 256, "rms_norm_eps": 1e-06, "rope_theta": 10000.0,
  "sliding_window": 4096, "vocab_size": 256000})";
// As transformers 4.50 saved Gemma 3 1B, and 5 does.
const char* kGemma3Old = R"({"architectures": ["Gemma3ForCausalLM"], "attention_bias": false,
  "attn_logit_softcapping": null, "final_logit_softcapping": null, "head_dim": 256,
  "hidden_activation": "gelu_pytorch_tanh", "hidden_size": 1152, "intermediate_size": 6912,
  "max_position_embeddings": 32768, "model_type": "gemma3_text", "num_attention_heads": 4, "num_hidden_layers": 26,
  "num_key_value_heads": 1, "query_pre_attn_scalar": 256, "rms_norm_eps": 1e-06, "rope_local_base_freq": 10000,
  "rope_scaling": {"factor": 8.0, "rope_type": "linear"}, "rope_theta": 1000000, "sliding_window": 512,
  "sliding_window_pattern": 6, "vocab_size": 262144})";

DecoderSpec described(const Json& json) { return family_of_config(json, "c.json").describe(json, "c.json"); }
DecoderSpec described(const char* text) { return described(Json::parse(text)); }
Json with(const char* base, const std::string& key, const std::string& value) {
  Json json = Json::parse(base);
  json[key] = Json::parse(value);
  return json;
}

TEST_CASE("the published models have the published number of parameters") {
  CHECK(parameter_count(described(kMistral)) == 7'241'732'096);
  CHECK(parameter_count(described(kQwen2)) == 494'032'768);
  CHECK(parameter_count(described(kQwen3)) == 596'049'920);
  CHECK(parameter_count(described(kGemma2)) == 2'614'341'888);
  CHECK(parameter_count(described(kGemma3Old)) == 999'885'952);
}

TEST_CASE("Mistral's window is in every layer, absent means 4096 and null none") {
  const DecoderSpec spec = described(kMistral);
  REQUIRE(spec.windows.size() == 32);
  CHECK(spec.window(0) == 4096);
  CHECK(spec.window(31) == 4096);
  CHECK_FALSE(spec.qkv_bias);
  CHECK(described(with(kMistral, "sliding_window", "null")).windows.empty());
  Json absent = Json::parse(kMistral);
  absent.erase("sliding_window");
  CHECK(described(absent).window(5) == 4096);
  CHECK(error_of([&] {
          described(with(kMistral, "sliding_window", "0"));
        }).find("'sliding_window' must be") != std::string::npos);
}

TEST_CASE("Qwen's windows begin at max_window_layers and only when they are turned on") {
  CHECK(described(kQwen2).windows.empty());
  CHECK(described(kQwen2).qkv_bias);
  CHECK_FALSE(described(kQwen2).output_bias);
  const DecoderSpec spec = described(with(kQwen2, "use_sliding_window", "true"));
  CHECK(spec.window(20) == 0);
  CHECK(spec.window(21) == 32768);
  CHECK(described(kQwen3).qk_norm);
  CHECK(described(kQwen3).head_size == 128);
  CHECK(described(with(kQwen3, "attention_bias", "true")).output_bias);
  CHECK(error_of([&] { described(with(kQwen2, "use_mrope", "true")); }).find("'use_mrope'") !=
        std::string::npos);
}

TEST_CASE("Gemma 2 caps scores and logits, and every second layer has a window") {
  const DecoderSpec spec = described(kGemma2);
  CHECK(spec.attention_softcap == 50);
  CHECK(spec.final_softcap == 30);
  CHECK(spec.window(0) == 4096);
  CHECK(spec.window(1) == 0);
  CHECK(spec.norm_offset == 1);
  CHECK(spec.embedding_scale == 48);  // the square root of 2304
  CHECK(spec.attention_scale == 1.0 / 16);
  CHECK(spec.activation == Activation::GeluTanh);
  CHECK(spec.tie_embeddings);
  CHECK_FALSE(spec.qk_norm);
  CHECK_FALSE(spec.local_rotary.has_value());
  CHECK(described(with(kGemma2, "attn_logit_softcapping", "null")).attention_softcap == 0);
}

TEST_CASE("Gemma 3's positions differ by layer, in the spelling of transformers 4 and of 5") {
  Json later = Json::parse(kGemma3Old);
  for (const char* key : {"rope_local_base_freq", "rope_scaling", "rope_theta", "sliding_window_pattern"})
    later.erase(key);
  later["layer_types"] = Json::array();
  for (int layer = 1; layer <= 26; ++layer)
    later["layer_types"].push_back(layer % 6 == 0 ? "full_attention" : "sliding_attention");
  later["rope_parameters"] = Json::parse(R"({"full_attention": {"factor": 8.0, "rope_theta": 1000000,
    "rope_type": "linear"}, "sliding_attention": {"rope_theta": 10000, "rope_type": "default"}})");
  for (const Json& json : {Json::parse(kGemma3Old), later}) {
    const DecoderSpec spec = described(json);
    CHECK(spec.rotary.theta == 1e6);
    CHECK(spec.rotary.scaling == RotaryScaling::Linear);
    CHECK(spec.rotary.factor == 8);
    REQUIRE(spec.local_rotary.has_value());
    CHECK(spec.local_rotary->theta == 1e4);
    CHECK(spec.local_rotary->scaling == RotaryScaling::None);
    CHECK(spec.window(4) == 512);
    CHECK(spec.window(5) == 0);
    CHECK((spec.qk_norm && spec.sandwich_norms));
    CHECK(spec.final_softcap == 0);
  }
  CHECK(error_of([&] {
          described(
              with(kGemma3Old, "rope_scaling", R"({"rope_type":"yarn","factor":2.0,"truncate":false})"));
        }).find("'truncate'") != std::string::npos);
  CHECK(error_of([&] {
          described(with(kGemma3Old, "attn_logit_softcapping", "50.0"));
        }).find("'attn_logit_softcapping'") != std::string::npos);
  CHECK(error_of([&] {
          described(with(kGemma3Old, "rope_parameters", R"({"rope_type":"default"})"));
        }).find("'rope_parameters' must be") != std::string::npos);
  CHECK(error_of([&] {
          described(with(kGemma3Old, "use_bidirectional_attention", "true"));
        }).find("'use_bidirectional_attention'") != std::string::npos);
}

}  // namespace
}  // namespace lathe
