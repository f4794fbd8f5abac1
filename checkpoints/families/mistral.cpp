// Mistral (arXiv 2310.06825): Llama with attention over a sliding window in every layer; later ones have
// none.
#include "checkpoints/bundle/dense.h"

namespace lathe {

const Family& family_mistral();

namespace {

constexpr std::int64_t kDefaultWindow = 4096;  // of transformers, when the key is absent

struct MistralRecipe : DenseRecipe {
  std::optional<std::int64_t> sliding_window;
  static void fields(auto& f, auto& c) {
    DenseRecipe::fields(f, c);
    f("sliding_window", c.sliding_window,
      "tokens that one attends to, itself included; default all before it", range(1, kMaxTokens));
  }
};

Json from_recipe(const FamilyInput& input, std::vector<RecipeProblem>& problems) {
  RecipeChecker checker(input, problems);
  auto r = read_dense_recipe<MistralRecipe>(input, checker, problems);
  Json config = dense_config(family_mistral(), input, r, checker);
  config["hidden_act"] = "silu";
  config["sliding_window"] = r.sliding_window ? Json(*r.sliding_window) : Json(nullptr);
  check_described(family_mistral(), config, checker);
  return config;
}

DecoderSpec describe(const Json& json, const std::string& where) {
  const ConfigReader config(json, where);
  config.refuse_foreign_parts({"sliding_window", "layer_types"});
  config.refuse("attention_bias", "Mistral has no biases; a folder with them is Llama's architecture");
  config.refuse("mlp_bias", "Mistral has no biases; a folder with them is Llama's architecture");
  DecoderSpec spec = describe_dense(config, 4096 * 32);
  spec.activation = read_activation(config, "hidden_act", "silu", {Activation::SiLU});
  spec.rotary = read_rotary(config, spec.max_positions);
  const std::int64_t window = read_window(config, "sliding_window", kDefaultWindow);
  spec.windows = read_windows(config, spec.num_layers, window, [&](std::int64_t) { return window > 0; });
  for (std::int64_t layer = 0; layer < spec.num_layers; ++layer)
    if (spec.window(layer) != window)
      config.wrong("layer_types",
                   "one kind, the same in all layers; Mistral does not alternate (Ministral does)");
  spec.tie_embeddings = config.boolean("tie_word_embeddings", false);
  check_spec(spec, where);
  return spec;
}

std::string gguf_lacks(const DecoderSpec& spec) {
  return gguf_lacks_scaling(
      spec, {RotaryScaling::None, RotaryScaling::Linear, RotaryScaling::Llama3, RotaryScaling::Yarn});
}

}  // namespace

const Family& family_mistral() {
  static const Family family = {
      .name = "mistral",
      .model_types = {"mistral"},
      .architectures = {"MistralForCausalLM"},
      .from_recipe = from_recipe,
      .describe = describe,
      .names = dense_names,
      .ignored = dense_ignored,
      .gguf = {.architecture = "llama", .interleaved_rotary = true, .lacks = gguf_lacks},
      .keys = recipe_keys<MistralRecipe>};
  return family;
}

}  // namespace lathe
