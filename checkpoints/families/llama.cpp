// Llama (arXiv 2302.13971, 2307.09288, 2407.21783): RMSNorm before each branch, rotary positions, grouped
// keys and values, a gated SiLU MLP. Its names on disk are our internal ones.
#include <algorithm>
#include <optional>
#include <string>

#include "checkpoints/bundle/config_reader.h"
#include "checkpoints/bundle/family.h"
#include "checkpoints/bundle/recipe_config.h"
#include "recipes/schema/describe.h"
#include "recipes/schema/reader.h"

namespace lathe {

const Family& family_llama();

namespace {

constexpr std::int64_t kMaxWidth = std::int64_t{1} << 24, kMaxLayers = 1 << 16,
                       kMaxTokens = std::int64_t{1} << 31;

struct Preset {
  const char* size;
  std::int64_t hidden, intermediate, layers, heads, kv_heads;
};
// The names count all parameters: up to 60m with a vocabulary of 8,192, above with 32,000 to 50,000.
// Embeddings are tied.
constexpr Preset kPresets[] = {
    {"1m", 96, 256, 3, 3, 1},      {"5m", 256, 704, 4, 4, 2},       {"15m", 384, 1024, 6, 6, 6},
    {"60m", 640, 1728, 12, 10, 5}, {"125m", 768, 2048, 12, 12, 12}, {"350m", 1024, 2816, 24, 16, 16},
    {"1b", 2048, 8192, 16, 32, 8},
};

struct RopeScaling {
  std::string rope_type;
  std::optional<double> factor, low_freq_factor, high_freq_factor, beta_fast, beta_slow, attention_factor;
  std::optional<std::int64_t> original_max_position_embeddings;
  static void fields(auto& f, auto& c) {
    f("rope_type", c.rope_type, "how positions beyond the original context are made",
      choice({"", "default", "linear", "dynamic", "llama3", "yarn"}));
    f("factor", c.factor, "context after over context before", range(1.0, 1e6));
    f("low_freq_factor", c.low_freq_factor, "llama3: slower rotations are scaled whole", range(1e-3, 1e6));
    f("high_freq_factor", c.high_freq_factor, "llama3: faster rotations are left alone", range(1e-3, 1e6));
    f("beta_fast", c.beta_fast, "yarn: rotations over the context above which none is scaled",
      range(1e-3, 1e6));
    f("beta_slow", c.beta_slow, "yarn: rotations below which all are scaled", range(1e-3, 1e6));
    f("attention_factor", c.attention_factor, "yarn: scale of cosines and sines; default from factor",
      range(1e-3, 1e3));
    f("original_max_position_embeddings", c.original_max_position_embeddings,
      "llama3, yarn: context before scaling", range(1, kMaxTokens));
  }
};

struct LlamaRecipe {
  std::int64_t hidden_size = 0, num_hidden_layers = 0, num_attention_heads = 0;
  std::optional<std::int64_t> intermediate_size, num_key_value_heads, head_dim, max_position_embeddings;
  double rms_norm_eps = 1e-5, rope_theta = 10000, initializer_range = 0.02;
  RopeScaling rope_scaling;
  bool tie_word_embeddings = true, attention_bias = false, mlp_bias = false;
  static void fields(auto& f, auto& c) {
    f("hidden_size", c.hidden_size, "width of the model", range(1, kMaxWidth));
    f("intermediate_size", c.intermediate_size,
      "width of the MLP; default 8/3 of hidden_size, a multiple of 64", range(1, kMaxWidth));
    f("num_hidden_layers", c.num_hidden_layers, "depth", range(1, kMaxLayers));
    f("num_attention_heads", c.num_attention_heads, "query heads", range(1, 1 << 16));
    f("num_key_value_heads", c.num_key_value_heads, "key and value heads; default num_attention_heads",
      range(1, 1 << 16));
    f("head_dim", c.head_dim, "width of a head; default hidden_size / num_attention_heads",
      range(2, 1 << 16));
    f("max_position_embeddings", c.max_position_embeddings,
      "context promised to engines; at least sequence_length", range(1, kMaxTokens));
    f("rms_norm_eps", c.rms_norm_eps, "epsilon of the norms", range(1e-12, 1.0));
    f("rope_theta", c.rope_theta, "base of the rotary positions", range(1.0, 1e12));
    f("rope_scaling", c.rope_scaling, "rotary positions beyond the original context");
    f("tie_word_embeddings", c.tie_word_embeddings, "the head shares the embedding's weights");
    f("attention_bias", c.attention_bias, "biases on the projections of attention");
    f("mlp_bias", c.mlp_bias, "biases on the projections of the MLP");
    f("initializer_range", c.initializer_range, "standard deviation of initial weights", range(0.0, 1.0));
  }
};

LlamaRecipe defaults_of(const std::string& size, RecipeChecker& checker) {
  LlamaRecipe recipe;
  if (const Preset* preset = find_preset(kPresets, size, checker)) {
    recipe.hidden_size = preset->hidden;
    recipe.intermediate_size = preset->intermediate;
    recipe.num_hidden_layers = preset->layers;
    recipe.num_attention_heads = preset->heads;
    recipe.num_key_value_heads = preset->kv_heads;
  }
  return recipe;
}

void check_shape(const LlamaRecipe& r, RecipeChecker& checker) {
  checker.check(r.hidden_size > 0 && r.num_hidden_layers > 0 && r.num_attention_heads > 0,
                {"hidden_size", "num_hidden_layers", "num_attention_heads"},
                "model: set 'size' (1m ... 1b), or hidden_size, num_hidden_layers and num_attention_heads");
  if (!checker.clean()) return;
  checker.check(r.hidden_size % r.num_attention_heads == 0, {"num_attention_heads", "hidden_size"},
                cat("model.num_attention_heads: ", r.num_attention_heads, " heads do not divide hidden_size ",
                    r.hidden_size));
  const std::int64_t kv_heads = r.num_key_value_heads.value_or(r.num_attention_heads);
  checker.check(r.num_attention_heads % kv_heads == 0, {"num_key_value_heads", "num_attention_heads"},
                cat("model.num_key_value_heads: ", kv_heads, " does not divide num_attention_heads ",
                    r.num_attention_heads));
  const std::int64_t head = r.head_dim.value_or(r.hidden_size / r.num_attention_heads);
  if (!r.head_dim && r.hidden_size % r.num_attention_heads != 0) return;
  checker.check(head % 2 == 0, {"head_dim", "num_attention_heads", "hidden_size"},
                cat("model.head_dim: ", head, " is odd; rotary positions turn pairs"));
}

Json rope_scaling_json(const RopeScaling& rope, RecipeChecker& checker) {
  if (rope.rope_type.empty() || rope.rope_type == "default") {
    checker.check(!rope.factor, {"rope_scaling"},
                  "model.rope_scaling: 'factor' needs a rope_type: linear, dynamic, "
                  "llama3 or yarn");
    return nullptr;
  }
  Json json = {{"rope_type", rope.rope_type}};
  const auto put = [&](const char* key, const auto& value, bool needed, bool used) {
    checker.check(value || !needed, {"rope_scaling"},
                  cat("model.rope_scaling: rope_type ", rope.rope_type, " needs '", key, "'"));
    checker.check(!value || used, {"rope_scaling"},
                  cat("model.rope_scaling: '", key, "' has no meaning with rope_type ", rope.rope_type));
    if (value) json[key] = *value;
  };
  const bool llama3 = rope.rope_type == "llama3", yarn = rope.rope_type == "yarn";
  put("factor", rope.factor, true, true);
  put("original_max_position_embeddings", rope.original_max_position_embeddings, llama3 || yarn,
      llama3 || yarn);
  put("low_freq_factor", rope.low_freq_factor, llama3, llama3);
  put("high_freq_factor", rope.high_freq_factor, llama3, llama3);
  put("beta_fast", rope.beta_fast, false, yarn);
  put("beta_slow", rope.beta_slow, false, yarn);
  put("attention_factor", rope.attention_factor, false, yarn);
  return json;
}

Json from_recipe(const FamilyInput& input, std::vector<RecipeProblem>& problems) {
  RecipeChecker checker(input, problems);
  LlamaRecipe r = defaults_of(input.size, checker);
  if (input.section) decode_section(*input.section, r, problems);
  if (checker.clean()) check_shape(r, checker);
  if (!r.intermediate_size)
    r.intermediate_size = std::max<std::int64_t>(64, (r.hidden_size * 8 / 3 + 63) / 64 * 64);
  const std::int64_t heads = std::max<std::int64_t>(1, r.num_attention_heads);

  Json config = common_config(family_llama(), input);
  config["hidden_size"] = r.hidden_size;
  config["intermediate_size"] = *r.intermediate_size;
  config["num_hidden_layers"] = r.num_hidden_layers;
  config["num_attention_heads"] = r.num_attention_heads;
  config["num_key_value_heads"] = r.num_key_value_heads.value_or(r.num_attention_heads);
  config["head_dim"] = r.head_dim.value_or(r.hidden_size / heads);
  config["hidden_act"] = "silu";
  config["max_position_embeddings"] = std::max(input.sequence_length, r.max_position_embeddings.value_or(0));
  config["rms_norm_eps"] = r.rms_norm_eps;
  config["rope_theta"] = r.rope_theta;
  config["rope_scaling"] = rope_scaling_json(r.rope_scaling, checker);
  config["attention_bias"] = r.attention_bias;
  config["attention_dropout"] = 0.0;
  config["mlp_bias"] = r.mlp_bias;
  config["pretraining_tp"] = 1;
  config["tie_word_embeddings"] = r.tie_word_embeddings;
  config["initializer_range"] = r.initializer_range;
  check_described(family_llama(), config, checker);
  return config;
}

DecoderSpec describe(const Json& json, const std::string& where) {
  const ConfigReader config(json, where);
  config.refuse_foreign_parts();
  DecoderSpec spec;
  spec.vocab_size = config.integer("vocab_size", 1, kMaxTokens);
  spec.hidden_size = config.integer("hidden_size", 1, kMaxWidth);
  spec.intermediate_size = config.integer("intermediate_size", 1, kMaxWidth);
  spec.num_layers = config.integer("num_hidden_layers", 1, kMaxLayers);
  spec.num_heads = config.integer("num_attention_heads", 1, 1 << 16);
  spec.num_kv_heads = config.integer("num_key_value_heads", 1, 1 << 16, spec.num_heads);
  if (!config.has("head_dim"))
    require(spec.hidden_size % spec.num_heads == 0, where, ": 'num_attention_heads' ", spec.num_heads,
            " does not divide 'hidden_size' ", spec.hidden_size);
  spec.head_size = config.integer("head_dim", 1, 1 << 16, spec.hidden_size / spec.num_heads);
  spec.max_positions = config.integer("max_position_embeddings", 1, kMaxTokens, 2048);
  spec.norm_eps = config.positive("rms_norm_eps", 1e-6);
  spec.activation = read_activation(config, "hidden_act", "silu", {Activation::SiLU});
  spec.rotary = read_rotary(config, spec.max_positions);
  spec.qkv_bias = spec.output_bias = config.boolean("attention_bias", false);
  spec.mlp_bias = config.boolean("mlp_bias", false);
  spec.tie_embeddings = config.boolean("tie_word_embeddings", false);
  spec.initializer_range = config.number("initializer_range", 0.02);
  check_spec(spec, where);
  return spec;
}

// Also folders of the bare LlamaModel, which has no "model." in front.
std::vector<NameRule> names(const DecoderSpec& spec) {
  std::vector<NameRule> rules;
  for (const ParameterInfo& info : decoder_parameters(spec)) {
    rules.push_back({info.name, {info.name}});
    if (info.name.starts_with("model.")) rules.back().aliases = {info.name.substr(6)};
  }
  return rules;
}

bool ignored(const std::string& name) { return name.ends_with("rotary_emb.inv_freq"); }

std::string reference() {
  return reference_header() + reference_rows(describe_fields(LlamaRecipe{}), "model");
}

}  // namespace

const Family& family_llama() {
  static const Family family = {.name = "llama",
                                .model_types = {"llama"},
                                .architectures = {"LlamaForCausalLM"},
                                .from_recipe = from_recipe,
                                .describe = describe,
                                .names = names,
                                .ignored = ignored,
                                .reference = reference};
  return family;
}

}  // namespace lathe
