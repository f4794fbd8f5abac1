// Gemma 2 (arXiv 2408.00118): every second layer attends over a window; scores and logits are capped.
#include "checkpoints/bundle/gemma.h"

namespace lathe {

const Family& family_gemma2();

namespace {

constexpr double kScoreCap = 50, kLogitCap = 30;  // of transformers, when the keys are absent

// A cap that is absent is the default, one that is null is none.
double read_cap(const ConfigReader& config, const char* key, double absent) {
  if (!config.json().contains(key)) return absent;
  return config.has(key) ? config.positive(key) : 0;
}

struct Gemma2Recipe : GemmaRecipe {
  std::optional<double> attn_logit_softcapping;
  static void fields(auto& f, auto& c) {
    GemmaRecipe::fields(f, c);
    f("attn_logit_softcapping", c.attn_logit_softcapping, "cap of attention's scores; default none",
      range(1e-3, 1e6));
  }
};

Json from_recipe(const FamilyInput& input, std::vector<RecipeProblem>& problems) {
  RecipeChecker checker(input, problems);
  auto r = read_dense_recipe<Gemma2Recipe>(input, checker, problems);
  Json config = gemma_config(family_gemma2(), input, r, checker);
  config["hidden_act"] = "gelu_pytorch_tanh";
  config["layer_types"] = gemma_layer_types(r.num_hidden_layers, 2);
  config["attn_logit_softcapping"] =
      r.attn_logit_softcapping ? Json(*r.attn_logit_softcapping) : Json(nullptr);
  check_described(family_gemma2(), config, checker);
  return config;
}

DecoderSpec describe(const Json& json, const std::string& where) {
  const ConfigReader config(json, where);
  config.refuse_foreign_parts({"sliding_window", "layer_types", "query_pre_attn_scalar",
                               "final_logit_softcapping", "attn_logit_softcapping"});
  DecoderSpec spec = describe_gemma(config, 8192, 2);
  spec.rotary = read_rotary(config, spec.max_positions);
  spec.attention_softcap = read_cap(config, "attn_logit_softcapping", kScoreCap);
  spec.final_softcap = read_cap(config, "final_logit_softcapping", kLogitCap);
  check_spec(spec, where);
  return spec;
}

std::string gguf_lacks(const DecoderSpec& spec) {
  if (!spec.tie_embeddings)
    return "llama.cpp always ties a Gemma 2's head to its embedding (tie_word_embeddings)";
  const std::string lacks = gemma_gguf_lacks(spec, 46);
  return lacks.empty()
             ? gguf_lacks_scaling(spec, {RotaryScaling::None, RotaryScaling::Linear, RotaryScaling::Yarn})
             : lacks;
}

}  // namespace

const Family& family_gemma2() {
  static const Family family = {.name = "gemma2",
                                .model_types = {"gemma2"},
                                .architectures = {"Gemma2ForCausalLM"},
                                .from_recipe = from_recipe,
                                .describe = describe,
                                .names = dense_names,
                                .ignored = dense_ignored,
                                .gguf = {.architecture = "gemma2", .lacks = gguf_lacks},
                                .keys = recipe_keys<Gemma2Recipe>};
  return family;
}

}  // namespace lathe
