// Gemma 3, text (arXiv 2503.19786): five layers with a window to one without, each kind with rotary positions
// of its own; RMSNorm on each head's queries and keys instead of capped scores.
#include "checkpoints/bundle/gemma.h"

namespace lathe {

const Family& family_gemma3();

namespace {

constexpr double kGlobalTheta = 1e6, kLocalTheta = 1e4;  // of transformers, when the keys are absent
constexpr std::int64_t kPattern = 6;

struct Gemma3Recipe : GemmaRecipe {
  double rope_local_base_freq = kLocalTheta;
  std::int64_t sliding_window_pattern = kPattern;
  Gemma3Recipe() { rope_theta = kGlobalTheta; }
  static void fields(auto& f, auto& c) {
    GemmaRecipe::fields(f, c);
    f("rope_local_base_freq", c.rope_local_base_freq, "base of the rotary positions of layers with a window",
      range(1.0, 1e12));
    f("sliding_window_pattern", c.sliding_window_pattern, "every so many layers one attends to everything",
      range(1, kMaxLayers));
  }
};

Json from_recipe(const FamilyInput& input, std::vector<RecipeProblem>& problems) {
  RecipeChecker checker(input, problems);
  auto r = read_dense_recipe<Gemma3Recipe>(input, checker, problems);
  Json config = gemma_config(family_gemma3(), input, r, checker);
  config["layer_types"] = gemma_layer_types(r.num_hidden_layers, r.sliding_window_pattern);
  config["sliding_window_pattern"] = r.sliding_window_pattern;
  config["rope_local_base_freq"] = r.rope_local_base_freq;
  config["attn_logit_softcapping"] = nullptr;
  check_described(family_gemma3(), config, checker);
  return config;
}

// transformers 5 has rope_parameters of each kind of layer; 4 rope_theta and rope_scaling of those without a
// window, and rope_local_base_freq of those with one.
void read_positions(const ConfigReader& config, DecoderSpec& spec) {
  const bool nested = config.has("rope_parameters");
  const auto of_kind = [&](const char* kind, const char* theta_key, double theta) {
    RotarySpec rotary;
    rotary.theta = config.positive(theta_key, theta);
    if (!nested) return rotary;
    const ConfigReader all = config.section("rope_parameters");
    return all.has(kind) ? read_rope_section(all.section(kind), rotary.theta, spec.max_positions) : rotary;
  };
  if (nested)
    for (const char* flat : {"rope_type", "rope_theta", "factor"})
      if (config.section("rope_parameters").has(flat))
        config.wrong("rope_parameters", "an object with full_attention and sliding_attention");
  spec.rotary = of_kind("full_attention", "rope_theta", kGlobalTheta);
  if (config.has("rope_scaling"))
    spec.rotary = read_rope_section(config.section("rope_scaling"), spec.rotary.theta, spec.max_positions);
  if (!spec.windows.empty())
    spec.local_rotary = of_kind("sliding_attention", "rope_local_base_freq", kLocalTheta);
  if (!spec.rotary.truncate || (spec.local_rotary && !spec.local_rotary->truncate))
    fail(config.where(),
         ": YaRN with 'truncate': false is not supported in a Gemma 3: transformers rounds there ",
         "all the same; leave the key out");
}

DecoderSpec describe(const Json& json, const std::string& where) {
  const ConfigReader config(json, where);
  config.refuse_foreign_parts(
      {"sliding_window", "layer_types", "query_pre_attn_scalar", "final_logit_softcapping"});
  DecoderSpec spec =
      describe_gemma(config, 131072, config.integer("sliding_window_pattern", 1, kMaxLayers, kPattern));
  spec.qk_norm = true;
  if (config.has("final_logit_softcapping")) spec.final_softcap = config.positive("final_logit_softcapping");
  read_positions(config, spec);
  check_spec(spec, where);
  return spec;
}

std::string gguf_lacks(const DecoderSpec& spec) {
  if (spec.local_rotary && spec.local_rotary->scaling != RotaryScaling::None)
    return "llama.cpp does not scale the rotary positions of a Gemma 3's layers with a window";
  const std::string lacks = gemma_gguf_lacks(spec, 62);
  return lacks.empty() ? gguf_lacks_scaling(spec, {RotaryScaling::None, RotaryScaling::Linear}) : lacks;
}

}  // namespace

const Family& family_gemma3() {
  static const Family family = {.name = "gemma3",
                                .model_types = {"gemma3_text"},
                                .architectures = {"Gemma3ForCausalLM"},
                                .from_recipe = from_recipe,
                                .describe = describe,
                                .names = dense_names,
                                .ignored = dense_ignored,
                                .gguf = {.architecture = "gemma3", .lacks = gguf_lacks},
                                .keys = recipe_keys<Gemma3Recipe>};
  return family;
}

}  // namespace lathe
