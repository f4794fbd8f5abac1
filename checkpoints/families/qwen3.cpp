// Qwen 3, dense (arXiv 2505.09388): RMSNorm on each head's queries and keys in place of Qwen 2's biases.
#include "checkpoints/bundle/dense.h"

namespace lathe {

const Family& family_qwen3();

namespace {

constexpr std::int64_t kDefaultHead = 128;  // of transformers, when the key is absent

struct Qwen3Recipe : DenseRecipe {
  bool attention_bias = false;
  static void fields(auto& f, auto& c) {
    DenseRecipe::fields(f, c);
    f("attention_bias", c.attention_bias, "biases on the projections of attention");
  }
};

Json from_recipe(const FamilyInput& input, std::vector<RecipeProblem>& problems) {
  RecipeChecker checker(input, problems);
  auto r = read_dense_recipe<Qwen3Recipe>(input, checker, problems);
  Json config = dense_config(family_qwen3(), input, r, checker);
  config["hidden_act"] = "silu";
  config["attention_bias"] = r.attention_bias;
  config["use_sliding_window"] = false;
  config["sliding_window"] = nullptr;
  config["max_window_layers"] = r.num_hidden_layers;
  check_described(family_qwen3(), config, checker);
  return config;
}

DecoderSpec describe(const Json& json, const std::string& where) {
  const ConfigReader config(json, where);
  config.refuse_foreign_parts({"sliding_window", "layer_types"});
  DecoderSpec spec = describe_dense(config, 32768, kDefaultHead);
  spec.activation = read_activation(config, "hidden_act", "silu", {Activation::SiLU});
  spec.rotary = read_rotary(config, spec.max_positions);
  spec.qk_norm = true;
  spec.qkv_bias = spec.output_bias = config.boolean("attention_bias", false);
  spec.windows = read_upper_windows(config, spec.num_layers);
  spec.tie_embeddings = config.boolean("tie_word_embeddings", false);
  check_spec(spec, where);
  return spec;
}

std::string gguf_lacks(const DecoderSpec& spec) {
  if (spec.output_bias) return "llama.cpp has no biases in a Qwen 3 (attention_bias)";
  return gguf_lacks_scaling(spec, {RotaryScaling::None, RotaryScaling::Linear, RotaryScaling::Yarn});
}

}  // namespace

const Family& family_qwen3() {
  static const Family family = {.name = "qwen3",
                                .model_types = {"qwen3"},
                                .architectures = {"Qwen3ForCausalLM"},
                                .from_recipe = from_recipe,
                                .describe = describe,
                                .names = dense_names,
                                .ignored = dense_ignored,
                                .gguf = {.architecture = "qwen3", .lacks = gguf_lacks},
                                .keys = recipe_keys<Qwen3Recipe>};
  return family;
}

}  // namespace lathe
