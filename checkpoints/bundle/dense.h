#pragma once
// What Llama and its relatives share (Mistral, Qwen, Gemma): the keys of their config.json, of a recipe's
// `model:` section, and their names on disk, which are our internal ones. A family adds what is its own.
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "checkpoints/bundle/config_reader.h"
#include "checkpoints/bundle/family.h"
#include "checkpoints/bundle/recipe_config.h"
#include "recipes/schema/describe.h"
#include "recipes/schema/reader.h"

namespace lathe {

constexpr std::int64_t kMaxWidth = std::int64_t{1} << 24, kMaxLayers = 1 << 16, kMaxHeads = 1 << 16,
                       kMaxTokens = std::int64_t{1} << 31;

// A recipe's rope_scaling.
struct RopeRecipe {
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

// The keys of `model:` that every relative has; a family's own struct derives from it.
struct DenseRecipe {
  std::int64_t hidden_size = 0, num_hidden_layers = 0, num_attention_heads = 0;
  std::optional<std::int64_t> intermediate_size, num_key_value_heads, head_dim, max_position_embeddings;
  double rms_norm_eps = 1e-5, rope_theta = 10000, initializer_range = 0.02;
  RopeRecipe rope_scaling;
  bool tie_word_embeddings = true;
  static void fields(auto& f, auto& c) {
    f("hidden_size", c.hidden_size, "width of the model", range(1, kMaxWidth));
    f("intermediate_size", c.intermediate_size,
      "width of the MLP; default 8/3 of hidden_size, a multiple of 64", range(1, kMaxWidth));
    f("num_hidden_layers", c.num_hidden_layers, "depth", range(1, kMaxLayers));
    f("num_attention_heads", c.num_attention_heads, "query heads", range(1, kMaxHeads));
    f("num_key_value_heads", c.num_key_value_heads, "key and value heads; default num_attention_heads",
      range(1, kMaxHeads));
    f("head_dim", c.head_dim, "width of a head; default hidden_size / num_attention_heads",
      range(2, kMaxHeads));
    f("max_position_embeddings", c.max_position_embeddings,
      "context promised to engines; at least sequence_length", range(1, kMaxTokens));
    f("rms_norm_eps", c.rms_norm_eps, "epsilon of the norms", range(1e-12, 1.0));
    f("rope_theta", c.rope_theta, "base of the rotary positions", range(1.0, 1e12));
    f("rope_scaling", c.rope_scaling, "rotary positions beyond the original context");
    f("tie_word_embeddings", c.tie_word_embeddings, "the head shares the embedding's weights");
    f("initializer_range", c.initializer_range, "standard deviation of initial weights", range(0.0, 1.0));
  }
};

// Shapes of a size (1m ... 1b) into the recipe; a problem when there is no such size. The names count all
// parameters: up to 60m with a vocabulary of 8,192, above with 32,000 to 50,000, embeddings tied.
void apply_preset(DenseRecipe& recipe, const std::string& size, RecipeChecker& checker);

// Checks the shapes that do not fit together and returns config.json with everything above, default for what
// is not said.
Json dense_config(const Family& family, const FamilyInput& input, DenseRecipe& recipe,
                  RecipeChecker& checker);

// A recipe's section decoded over a preset; `Recipe` derives from DenseRecipe.
template <class Recipe>
Recipe read_dense_recipe(const FamilyInput& input, RecipeChecker& checker,
                         std::vector<RecipeProblem>& problems) {
  Recipe recipe;
  apply_preset(recipe, input.size, checker);
  if (input.section) decode_section(*input.section, recipe, problems);
  return recipe;
}

// The same of config.json. head_dim: what an absent key means, none: hidden_size / num_attention_heads.
DecoderSpec describe_dense(const ConfigReader& config, std::int64_t default_positions,
                           std::optional<std::int64_t> head_dim = {});

// A window's size: `absent` when the key is not there at all, 0 (none) when it is null.
std::int64_t read_window(const ConfigReader& config, const char* key, std::int64_t absent);
// Windows per layer from layer_types, or where `sliding(layer)` holds without the key. Error for other kinds
// of layers, or a sliding one without a window. Empty when no layer has one.
std::vector<std::int64_t> read_windows(const ConfigReader& config, std::int64_t layers, std::int64_t window,
                                       const std::function<bool(std::int64_t)>& sliding);

// Qwen's: use_sliding_window turns windows on, in layers from max_window_layers on.
std::vector<std::int64_t> read_upper_windows(const ConfigReader& config, std::int64_t layers);

// Internal names on disk, as *ForCausalLM stores them; folders of the bare model have no "model." in front.
std::vector<NameRule> dense_names(const DecoderSpec& spec);
bool dense_ignored(const std::string& on_disk);  // rotary tables of old versions

// GgufNames::lacks of the rotary scaling: "" when it is one of `known`.
std::string gguf_lacks_scaling(const DecoderSpec& spec, std::initializer_list<RotaryScaling> known);

template <class Recipe>
std::vector<Field> recipe_keys() {
  return describe_fields(Recipe{});
}

}  // namespace lathe
