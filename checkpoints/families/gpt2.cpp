// GPT-2 (Radford et al. 2019): LayerNorm before each branch, learned positions, biases everywhere. On disk
// queries, keys and values are one tensor, and projections are stored (in, out).
#include <algorithm>
#include <optional>
#include <string>

#include "checkpoints/bundle/config_reader.h"
#include "checkpoints/bundle/family.h"
#include "checkpoints/bundle/recipe_config.h"
#include "recipes/schema/describe.h"
#include "recipes/schema/reader.h"

namespace lathe {

const Family& family_gpt2();

namespace {

constexpr std::int64_t kMaxWidth = std::int64_t{1} << 24, kMaxLayers = 1 << 16,
                       kMaxTokens = std::int64_t{1} << 31;

struct Preset {
  const char* size;
  std::int64_t width, layers, heads;
};
// The names count all parameters: up to 60m with a vocabulary of 8,192, above with 50,257. 125m is GPT-2
// small, 350m GPT-2 medium's shape.
constexpr Preset kPresets[] = {
    {"1m", 96, 2, 3},      {"5m", 256, 4, 4},      {"15m", 384, 6, 6},   {"60m", 640, 11, 10},
    {"125m", 768, 12, 12}, {"350m", 1024, 24, 16}, {"1b", 1536, 36, 24},
};

struct Gpt2Recipe {
  std::int64_t n_embd = 0, n_layer = 0, n_head = 0;
  std::optional<std::int64_t> n_inner, n_positions;
  std::string activation_function = "gelu_new";
  double layer_norm_epsilon = 1e-5, initializer_range = 0.02;
  bool tie_word_embeddings = true, scale_attn_weights = true;
  static void fields(auto& f, auto& c) {
    f("n_embd", c.n_embd, "width of the model", range(1, kMaxWidth));
    f("n_layer", c.n_layer, "depth", range(1, kMaxLayers));
    f("n_head", c.n_head, "attention heads", range(1, 1 << 16));
    f("n_inner", c.n_inner, "width of the MLP; default 4 * n_embd", range(1, kMaxWidth));
    f("n_positions", c.n_positions, "learned positions; at least sequence_length", range(1, kMaxWidth));
    f("activation_function", c.activation_function, "of the MLP",
      choice({"gelu_new", "gelu_pytorch_tanh", "gelu", "relu", "silu"}));
    f("layer_norm_epsilon", c.layer_norm_epsilon, "epsilon of the norms", range(1e-12, 1.0));
    f("initializer_range", c.initializer_range, "standard deviation of initial weights", range(0.0, 1.0));
    f("tie_word_embeddings", c.tie_word_embeddings, "the head shares the embedding's weights");
    f("scale_attn_weights", c.scale_attn_weights, "divide scores by the square root of the head's width");
  }
};

void check_shape(const Gpt2Recipe& r, RecipeChecker& checker) {
  checker.check(r.n_embd > 0 && r.n_layer > 0 && r.n_head > 0, {"n_embd", "n_layer", "n_head"},
                "model: set 'size' (1m ... 1b), or n_embd, n_layer and n_head");
  if (!checker.clean()) return;
  checker.check(r.n_embd % r.n_head == 0, {"n_head", "n_embd"},
                cat("model.n_head: ", r.n_head, " heads do not divide n_embd ", r.n_embd));
}

Json from_recipe(const FamilyInput& input, std::vector<RecipeProblem>& problems) {
  RecipeChecker checker(input, problems);
  Gpt2Recipe r;
  if (const Preset* preset = find_preset(kPresets, input.size, checker)) {
    r.n_embd = preset->width;
    r.n_layer = preset->layers;
    r.n_head = preset->heads;
  }
  if (input.section) decode_section(*input.section, r, problems);
  if (checker.clean()) check_shape(r, checker);

  Json config = common_config(family_gpt2(), input);
  config["n_embd"] = r.n_embd;
  config["n_layer"] = r.n_layer;
  config["n_head"] = r.n_head;
  config["n_inner"] = r.n_inner.value_or(4 * r.n_embd);
  config["n_positions"] = positions_for(input, r.n_positions, "n_positions", checker);
  config["activation_function"] = r.activation_function;
  config["layer_norm_epsilon"] = r.layer_norm_epsilon;
  config["initializer_range"] = r.initializer_range;
  config["embd_pdrop"] = config["resid_pdrop"] = config["attn_pdrop"] = 0.0;
  config["scale_attn_weights"] = r.scale_attn_weights;
  config["scale_attn_by_inverse_layer_idx"] = false;
  config["reorder_and_upcast_attn"] = false;
  config["tie_word_embeddings"] = r.tie_word_embeddings;
  check_described(family_gpt2(), config, checker);
  return config;
}

// The old and the new name of one number; transformers maps the second onto the first.
std::int64_t integer_of(const ConfigReader& config, const char* key, const char* other, std::int64_t max,
                        std::optional<std::int64_t> fallback = {}) {
  if (!config.has(key) && config.has(other)) return config.integer(other, 1, max, fallback);
  if (config.has(key) && config.has(other) && config.json().at(key) != config.json().at(other))
    config.wrong(other, cat("the same as '", key, "', its other name"));
  return config.integer(key, 1, max, fallback);
}

DecoderSpec describe(const Json& json, const std::string& where) {
  const ConfigReader config(json, where);
  config.refuse_foreign_parts();
  config.refuse("scale_attn_by_inverse_layer_idx",
                "a scale of attention that differs by layer is not supported");
  DecoderSpec spec;
  spec.vocab_size = config.integer("vocab_size", 1, kMaxTokens);
  spec.hidden_size = integer_of(config, "n_embd", "hidden_size", kMaxWidth);
  spec.num_layers = integer_of(config, "n_layer", "num_hidden_layers", kMaxLayers);
  spec.num_heads = spec.num_kv_heads = integer_of(config, "n_head", "num_attention_heads", 1 << 16);
  spec.intermediate_size = config.integer("n_inner", 1, 4 * kMaxWidth, 4 * spec.hidden_size);
  spec.max_positions = integer_of(config, "n_positions", "max_position_embeddings", kMaxWidth, 1024);
  require(spec.hidden_size % spec.num_heads == 0, where, ": 'n_head' ", spec.num_heads,
          " does not divide 'n_embd' ", spec.hidden_size);
  spec.head_size = spec.hidden_size / spec.num_heads;
  spec.norm = NormKind::LayerNorm;
  spec.norm_bias = spec.qkv_bias = spec.output_bias = spec.mlp_bias = true;
  spec.norm_eps = config.positive("layer_norm_epsilon", 1e-5);
  spec.mlp = MlpKind::Plain;
  spec.activation =
      read_activation(config, "activation_function", "gelu_new",
                      {Activation::GeluTanh, Activation::Gelu, Activation::Relu, Activation::SiLU});
  spec.position = PositionKind::Learned;
  spec.tie_embeddings = config.boolean("tie_word_embeddings", true);
  spec.attention_scale = config.boolean("scale_attn_weights", true) ? 0 : 1;
  spec.initializer_range = config.number("initializer_range", 0.02);
  spec.scaled_residual_init = true;
  check_spec(spec, where);
  return spec;
}

class RuleList {
 public:
  // Folders of the bare GPT2Model have no "transformer." in front.
  void add(const std::string& name, std::vector<std::string> internal, bool transposed = false) {
    rules_.push_back({"transformer." + name, std::move(internal), transposed, {name}});
  }
  void both(const std::string& name, const std::string& internal) {
    add(name + ".weight", {internal + ".weight"});
    add(name + ".bias", {internal + ".bias"});
  }
  void projection(const std::string& name, const std::vector<std::string>& internal) {
    for (const char* part : {".weight", ".bias"}) {
      std::vector<std::string> parts;
      for (const std::string& one : internal) parts.push_back(one + part);
      add(name + part, std::move(parts), std::string(part) == ".weight");
    }
  }
  std::vector<NameRule> rules_;
};

std::vector<NameRule> names(const DecoderSpec& spec) {
  RuleList list;
  list.add("wte.weight", {"model.embed_tokens.weight"});
  list.add("wpe.weight", {"model.position_embeddings.weight"});
  for (std::int64_t i = 0; i < spec.num_layers; ++i) {
    const std::string on_disk = "h." + std::to_string(i) + ".",
                      layer = "model.layers." + std::to_string(i) + ".";
    const std::string attention = layer + "self_attn.";
    list.both(on_disk + "ln_1", layer + "input_layernorm");
    list.projection(on_disk + "attn.c_attn",
                    {attention + "q_proj", attention + "k_proj", attention + "v_proj"});
    list.projection(on_disk + "attn.c_proj", {attention + "o_proj"});
    list.both(on_disk + "ln_2", layer + "post_attention_layernorm");
    list.projection(on_disk + "mlp.c_fc", {layer + "mlp.up_proj"});
    list.projection(on_disk + "mlp.c_proj", {layer + "mlp.down_proj"});
  }
  list.both("ln_f", "model.norm");
  if (!spec.tie_embeddings) list.rules_.push_back({"lm_head.weight", {"lm_head.weight"}});
  return std::move(list.rules_);
}

// The causal mask that old versions stored with every layer.
bool ignored(const std::string& name) {
  return name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias");
}

std::string gguf_lacks(const DecoderSpec& spec) {
  if (spec.activation != Activation::GeluTanh)
    return "llama.cpp runs a GPT-2 with activation_function gelu_new only";
  if (spec.attention_scale != 0) return "llama.cpp always scales a GPT-2's scores (scale_attn_weights)";
  return "";
}

}  // namespace

const Family& family_gpt2() {
  static const Family family = {.name = "gpt2",
                                .model_types = {"gpt2"},
                                .architectures = {"GPT2LMHeadModel"},
                                .from_recipe = from_recipe,
                                .describe = describe,
                                .names = names,
                                .ignored = ignored,
                                .gguf = {.architecture = "gpt2", .fused_qkv = true, .lacks = gguf_lacks},
                                .keys = [] { return describe_fields(Gpt2Recipe{}); }};
  return family;
}

}  // namespace lathe
