// Llama (arXiv 2302.13971, 2307.09288, 2407.21783): RMSNorm before each branch, rotary positions, grouped
// keys and values, a gated SiLU MLP. Its names on disk are our internal ones.
#include "checkpoints/bundle/dense.h"

namespace lathe {

const Family& family_llama();

namespace {

struct LlamaRecipe : DenseRecipe {
  bool attention_bias = false, mlp_bias = false;
  static void fields(auto& f, auto& c) {
    DenseRecipe::fields(f, c);
    f("attention_bias", c.attention_bias, "biases on the projections of attention");
    f("mlp_bias", c.mlp_bias, "biases on the projections of the MLP");
  }
};

Json from_recipe(const FamilyInput& input, std::vector<RecipeProblem>& problems) {
  RecipeChecker checker(input, problems);
  auto r = read_dense_recipe<LlamaRecipe>(input, checker, problems);
  Json config = dense_config(family_llama(), input, r, checker);
  config["hidden_act"] = "silu";
  config["attention_bias"] = r.attention_bias;
  config["mlp_bias"] = r.mlp_bias;
  config["pretraining_tp"] = 1;
  check_described(family_llama(), config, checker);
  return config;
}

DecoderSpec describe(const Json& json, const std::string& where) {
  const ConfigReader config(json, where);
  config.refuse_foreign_parts();
  DecoderSpec spec = describe_dense(config, 2048);
  spec.activation = read_activation(config, "hidden_act", "silu", {Activation::SiLU});
  spec.rotary = read_rotary(config, spec.max_positions);
  spec.qkv_bias = spec.output_bias = config.boolean("attention_bias", false);
  spec.mlp_bias = config.boolean("mlp_bias", false);
  spec.tie_embeddings = config.boolean("tie_word_embeddings", false);
  check_spec(spec, where);
  return spec;
}

std::string gguf_lacks(const DecoderSpec& spec) {
  return gguf_lacks_scaling(
      spec, {RotaryScaling::None, RotaryScaling::Linear, RotaryScaling::Llama3, RotaryScaling::Yarn});
}

}  // namespace

const Family& family_llama() {
  static const Family family = {
      .name = "llama",
      .model_types = {"llama"},
      .architectures = {"LlamaForCausalLM"},
      .from_recipe = from_recipe,
      .describe = describe,
      .names = dense_names,
      .ignored = dense_ignored,
      .gguf = {.architecture = "llama", .interleaved_rotary = true, .lacks = gguf_lacks},
      .keys = recipe_keys<LlamaRecipe>};
  return family;
}

}  // namespace lathe
