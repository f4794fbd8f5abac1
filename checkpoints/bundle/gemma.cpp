#include "checkpoints/bundle/gemma.h"

#include <cmath>

namespace lathe {

namespace {

constexpr std::int64_t kDefaultWindow = 4096,
                       kDefaultHead = 256;  // of transformers, when the keys are absent
constexpr double kDefaultScalar = 256;

}  // namespace

std::vector<std::string> gemma_layer_types(std::int64_t layers, std::int64_t pattern) {
  std::vector<std::string> types;
  for (std::int64_t layer = 1; layer <= layers; ++layer)
    types.push_back(layer % pattern != 0 ? "sliding_attention" : "full_attention");
  return types;
}

Json gemma_config(const Family& family, const FamilyInput& input, GemmaRecipe& r, RecipeChecker& checker) {
  Json config = dense_config(family, input, r, checker);
  config["hidden_activation"] = "gelu_pytorch_tanh";
  config["attention_bias"] = false;
  config["sliding_window"] = r.sliding_window;
  config["query_pre_attn_scalar"] = r.query_pre_attn_scalar.value_or(static_cast<double>(*r.head_dim));
  // transformers takes a whole number there.
  if (const double scalar = config["query_pre_attn_scalar"].get<double>(); scalar == std::floor(scalar))
    config["query_pre_attn_scalar"] = static_cast<std::int64_t>(scalar);
  config["final_logit_softcapping"] =
      r.final_logit_softcapping ? Json(*r.final_logit_softcapping) : Json(nullptr);
  return config;
}

DecoderSpec describe_gemma(const ConfigReader& config, std::int64_t default_positions, std::int64_t pattern) {
  DecoderSpec spec = describe_dense(config, default_positions, kDefaultHead);
  spec.norm_offset = 1;
  spec.sandwich_norms = true;
  spec.activation = read_activation(config, "hidden_activation", "gelu_pytorch_tanh", {Activation::GeluTanh});
  spec.embedding_scale = std::sqrt(static_cast<double>(spec.hidden_size));
  spec.attention_scale = 1 / std::sqrt(config.positive("query_pre_attn_scalar", kDefaultScalar));
  spec.qkv_bias = spec.output_bias = config.boolean("attention_bias", false);
  spec.tie_embeddings = config.boolean("tie_word_embeddings", true);
  const std::int64_t window = read_window(config, "sliding_window", kDefaultWindow);
  spec.windows = read_windows(config, spec.num_layers, window,
                              [&](std::int64_t layer) { return (layer + 1) % pattern != 0; });
  return spec;
}

std::string gemma_gguf_lacks(const DecoderSpec& spec, std::int64_t largest) {
  if (spec.output_bias) return "llama.cpp has no biases in a Gemma (attention_bias)";
  const std::int64_t divisor =
      spec.num_layers == largest ? spec.hidden_size / spec.num_heads : spec.head_size;
  const double scale = 1 / std::sqrt(static_cast<double>(divisor));
  if (std::abs(spec.attention_scale - scale) > 1e-6 * scale)
    return cat("llama.cpp takes query_pre_attn_scalar to be ", divisor, " in a Gemma of ", spec.num_layers,
               " layers");
  return "";
}

}  // namespace lathe
