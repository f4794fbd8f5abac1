#include "checkpoints/bundle/dense.h"

#include <algorithm>

namespace lathe {

namespace {

struct Preset {
  const char* size;
  std::int64_t hidden, intermediate, layers, heads, kv_heads;
};
constexpr Preset kPresets[] = {
    {"1m", 96, 256, 3, 3, 1},      {"5m", 256, 704, 4, 4, 2},       {"15m", 384, 1024, 6, 6, 6},
    {"60m", 640, 1728, 12, 10, 5}, {"125m", 768, 2048, 12, 12, 12}, {"350m", 1024, 2816, 24, 16, 16},
    {"1b", 2048, 8192, 16, 32, 8},
};

void check_shape(const DenseRecipe& r, RecipeChecker& checker) {
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

Json rope_scaling_json(const RopeRecipe& rope, RecipeChecker& checker) {
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

}  // namespace

void apply_preset(DenseRecipe& recipe, const std::string& size, RecipeChecker& checker) {
  const Preset* preset = find_preset(kPresets, size, checker);
  if (!preset) return;
  recipe.hidden_size = preset->hidden;
  recipe.intermediate_size = preset->intermediate;
  recipe.num_hidden_layers = preset->layers;
  recipe.num_attention_heads = preset->heads;
  recipe.num_key_value_heads = preset->kv_heads;
}

Json dense_config(const Family& family, const FamilyInput& input, DenseRecipe& r, RecipeChecker& checker) {
  if (checker.clean()) check_shape(r, checker);
  if (!r.intermediate_size)
    r.intermediate_size = std::max<std::int64_t>(64, (r.hidden_size * 8 / 3 + 63) / 64 * 64);
  if (!r.head_dim) r.head_dim = r.hidden_size / std::max<std::int64_t>(1, r.num_attention_heads);
  Json config = common_config(family, input);
  config["hidden_size"] = r.hidden_size;
  config["intermediate_size"] = *r.intermediate_size;
  config["num_hidden_layers"] = r.num_hidden_layers;
  config["num_attention_heads"] = r.num_attention_heads;
  config["num_key_value_heads"] = r.num_key_value_heads.value_or(r.num_attention_heads);
  config["head_dim"] = *r.head_dim;
  config["max_position_embeddings"] =
      positions_for(input, r.max_position_embeddings, "max_position_embeddings", checker);
  config["rms_norm_eps"] = r.rms_norm_eps;
  config["rope_theta"] = r.rope_theta;
  config["rope_scaling"] = rope_scaling_json(r.rope_scaling, checker);
  config["attention_dropout"] = 0.0;
  config["tie_word_embeddings"] = r.tie_word_embeddings;
  config["initializer_range"] = r.initializer_range;
  return config;
}

DecoderSpec describe_dense(const ConfigReader& config, std::int64_t default_positions,
                           std::optional<std::int64_t> head_dim) {
  DecoderSpec spec;
  spec.vocab_size = config.integer("vocab_size", 1, kMaxTokens);
  spec.hidden_size = config.integer("hidden_size", 1, kMaxWidth);
  spec.intermediate_size = config.integer("intermediate_size", 1, kMaxWidth);
  spec.num_layers = config.integer("num_hidden_layers", 1, kMaxLayers);
  spec.num_heads = config.integer("num_attention_heads", 1, kMaxHeads);
  spec.num_kv_heads = config.integer("num_key_value_heads", 1, kMaxHeads, spec.num_heads);
  if (!config.has("head_dim") && !head_dim)
    require(spec.hidden_size % spec.num_heads == 0, config.where(), ": 'num_attention_heads' ",
            spec.num_heads, " does not divide 'hidden_size' ", spec.hidden_size);
  spec.head_size =
      config.integer("head_dim", 1, kMaxHeads, head_dim.value_or(spec.hidden_size / spec.num_heads));
  spec.max_positions = config.integer("max_position_embeddings", 1, kMaxTokens, default_positions);
  spec.norm_eps = config.positive("rms_norm_eps", 1e-6);
  spec.initializer_range = config.number("initializer_range", 0.02);
  return spec;
}

std::int64_t read_window(const ConfigReader& config, const char* key, std::int64_t absent) {
  if (!config.json().contains(key)) return absent;
  return config.has(key) ? config.integer(key, 1, kMaxTokens) : 0;
}

std::vector<std::int64_t> read_windows(const ConfigReader& config, std::int64_t layers, std::int64_t window,
                                       const std::function<bool(std::int64_t)>& sliding) {
  std::vector<std::int64_t> windows;
  const bool listed = config.has("layer_types");
  const Json types = listed ? config.json().at("layer_types") : Json::array();
  if (listed && (!types.is_array() || types.size() != static_cast<std::size_t>(layers)))
    config.wrong("layer_types", cat("a list of ", layers, " names, one a layer"));
  bool some = false;
  for (std::int64_t layer = 0; layer < layers; ++layer) {
    const Json type = listed ? types.at(static_cast<std::size_t>(layer)) : Json();
    if (listed && type != "full_attention" && type != "sliding_attention")
      config.wrong("layer_types", "a list of \"full_attention\" and \"sliding_attention\"");
    const bool local = listed ? type == "sliding_attention" : sliding(layer);
    require(!local || window > 0, config.where(), ": layer ", layer,
            " has attention over a window, but 'sliding_window' is null");
    windows.push_back(local ? window : 0);
    some = some || local;
  }
  return some ? windows : std::vector<std::int64_t>{};
}

std::vector<std::int64_t> read_upper_windows(const ConfigReader& config, std::int64_t layers) {
  constexpr std::int64_t kDefaultWindow = 4096,
                         kDefaultFull = 28;  // of transformers, when the keys are absent
  const bool on = config.boolean("use_sliding_window", false);
  const std::int64_t window = on ? read_window(config, "sliding_window", kDefaultWindow) : 0;
  const std::int64_t full = config.integer("max_window_layers", 0, kMaxLayers, kDefaultFull);
  return read_windows(config, layers, window,
                      [&](std::int64_t layer) { return window > 0 && layer >= full; });
}

std::vector<NameRule> dense_names(const DecoderSpec& spec) {
  std::vector<NameRule> rules;
  for (const ParameterInfo& info : decoder_parameters(spec)) {
    rules.push_back({info.name, {info.name}});
    if (info.name.starts_with("model.")) rules.back().aliases = {info.name.substr(6)};
  }
  return rules;
}

std::string gguf_lacks_scaling(const DecoderSpec& spec, std::initializer_list<RotaryScaling> known) {
  const RotarySpec& rotary = spec.rotary;
  const auto has = [&](RotaryScaling kind) {
    return std::find(known.begin(), known.end(), kind) != known.end();
  };
  if (rotary.scaling == RotaryScaling::LongRope)
    return "llama.cpp chooses longrope's factors by the context it is started with, not by the length of the "
           "text "
           "(rope_scaling)";
  if (rotary.scaling == RotaryScaling::Dynamic) return "llama.cpp has no dynamic rope_scaling";
  if (rotary.scaling == RotaryScaling::Yarn && has(RotaryScaling::Yarn) && !rotary.truncate)
    return "llama.cpp rounds the ends of YaRN's ramp (rope_scaling with truncate: false)";
  const bool factors = !rotary.frequency_factors.empty() && !has(RotaryScaling::Llama3);
  if (!has(rotary.scaling) || factors)
    return "llama.cpp does not have this kind of rope_scaling for this architecture";
  return "";
}

bool dense_ignored(const std::string& name) { return name.ends_with("rotary_emb.inv_freq"); }

}  // namespace lathe
