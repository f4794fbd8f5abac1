// Qwen 2 and 2.5 (arXiv 2407.10671, 2412.15115): Llama with biases on queries, keys and values; upper layers
// may attend over a window.
#include "checkpoints/bundle/dense.h"

namespace lathe {

const Family& family_qwen2();

namespace {

struct Qwen2Recipe : DenseRecipe {
  std::optional<std::int64_t> sliding_window, max_window_layers;
  static void fields(auto& f, auto& c) {
    DenseRecipe::fields(f, c);
    f("sliding_window", c.sliding_window,
      "tokens that one attends to in the upper layers; default all before it", range(1, kMaxTokens));
    f("max_window_layers", c.max_window_layers,
      "lower layers that attend to everything; default half of them", range(0, kMaxLayers));
  }
};

Json from_recipe(const FamilyInput& input, std::vector<RecipeProblem>& problems) {
  RecipeChecker checker(input, problems);
  auto r = read_dense_recipe<Qwen2Recipe>(input, checker, problems);
  Json config = dense_config(family_qwen2(), input, r, checker);
  config["hidden_act"] = "silu";
  config["use_sliding_window"] = r.sliding_window.has_value();
  config["sliding_window"] = r.sliding_window ? Json(*r.sliding_window) : Json(nullptr);
  config["max_window_layers"] = r.max_window_layers.value_or(r.num_hidden_layers / 2);
  check_described(family_qwen2(), config, checker);
  return config;
}

DecoderSpec describe(const Json& json, const std::string& where) {
  const ConfigReader config(json, where);
  config.refuse_foreign_parts({"sliding_window", "layer_types"});
  config.refuse("use_mrope", "multimodal positions are not supported");
  DecoderSpec spec = describe_dense(config, 32768);
  spec.activation = read_activation(config, "hidden_act", "silu", {Activation::SiLU});
  spec.rotary = read_rotary(config, spec.max_positions);
  spec.qkv_bias = true;
  spec.windows = read_upper_windows(config, spec.num_layers);
  spec.tie_embeddings = config.boolean("tie_word_embeddings", false);
  check_spec(spec, where);
  return spec;
}

std::string gguf_lacks(const DecoderSpec& spec) {
  if (spec.num_heads * spec.head_size != spec.hidden_size)
    return "llama.cpp wants hidden_size = num_attention_heads * head_dim of a Qwen 2";
  return gguf_lacks_scaling(spec, {RotaryScaling::None, RotaryScaling::Linear, RotaryScaling::Yarn});
}

}  // namespace

const Family& family_qwen2() {
  static const Family family = {.name = "qwen2",
                                .model_types = {"qwen2"},
                                .architectures = {"Qwen2ForCausalLM"},
                                .from_recipe = from_recipe,
                                .describe = describe,
                                .names = dense_names,
                                .ignored = dense_ignored,
                                .gguf = {.architecture = "qwen2", .lacks = gguf_lacks},
                                .keys = recipe_keys<Qwen2Recipe>};
  return family;
}

}  // namespace lathe
