#include "checkpoints/bundle/config_reader.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

namespace lathe {

namespace {

struct Refusal {
  const char* key;
  const char* why;
  std::optional<double> neutral = std::nullopt;
};

constexpr const char* kWindow = "attention over a window is not supported";
constexpr const char* kExperts = "mixtures of experts are not supported";
constexpr const char* kCap = "capped logits are not supported";
constexpr const char* kMultiplier = "multipliers are not supported";

const std::array kForeign = {
    Refusal{"quantization_config", "quantised weights are not supported; load a folder with plain ones"},
    Refusal{"compression_config", "quantised weights are not supported; load a folder with plain ones"},
    Refusal{"auto_map", "a model with code of its own cannot be run"},
    Refusal{"is_encoder_decoder", "encoder-decoder models are not supported"},
    Refusal{"add_cross_attention", "cross-attention is not supported"},
    Refusal{"use_bidirectional_attention", "attention to later tokens is not supported"},
    Refusal{"per_layer_config", "layers that differ by more than their window are not supported"},
    Refusal{"sliding_window", kWindow},
    Refusal{"attention_chunk_size", kWindow},
    Refusal{"no_rope_layers", "layers without rotary positions are not supported"},
    Refusal{"alibi", "ALiBi positions are not supported"},
    Refusal{"num_experts", kExperts},
    Refusal{"num_local_experts", kExperts},
    Refusal{"n_routed_experts", kExperts},
    Refusal{"final_logit_softcapping", kCap},
    Refusal{"attn_logit_softcapping", kCap},
    Refusal{"use_qk_norm", "norms of queries and keys are not supported"},
    Refusal{"qk_norm", "norms of queries and keys are not supported"},
    Refusal{"qk_layernorm", "norms of queries and keys are not supported"},
    Refusal{"clip_qkv", "clipped queries and keys are not supported"},
    Refusal{"parallel_attn", "attention and MLP side by side are not supported"},
    Refusal{"use_parallel_residual", "attention and MLP side by side are not supported"},
    Refusal{"query_pre_attn_scalar", kMultiplier},
    Refusal{"attention_multiplier", kMultiplier},
    Refusal{"embedding_multiplier", kMultiplier, 1},
    Refusal{"residual_multiplier", kMultiplier, 1},
    Refusal{"logits_scaling", kMultiplier, 1},
    Refusal{"logit_scale", kMultiplier, 1},
    Refusal{"partial_rotary_factor", "rotary positions on a part of the head are not supported", 1},
    Refusal{"cross_layer_kv_sharing", "keys shared between layers are not supported"},
    Refusal{"num_kv_shared_layers", "keys shared between layers are not supported"},
};

struct ActivationName {
  const char* name;
  Activation activation;
};
// The first of each is the one that is written.
constexpr std::array kActivations = {
    ActivationName{"silu", Activation::SiLU},
    ActivationName{"swish", Activation::SiLU},
    ActivationName{"gelu_new", Activation::GeluTanh},
    ActivationName{"gelu_pytorch_tanh", Activation::GeluTanh},
    ActivationName{"gelu_python_tanh", Activation::GeluTanh},
    ActivationName{"gelu_accurate", Activation::GeluTanh},
    ActivationName{"gelu_fast", Activation::GeluTanh},
    ActivationName{"gelu", Activation::Gelu},
    ActivationName{"gelu_python", Activation::Gelu},
    ActivationName{"relu", Activation::Relu},
};

}  // namespace

ConfigReader::ConfigReader(const Json& config, std::string where)
    : config_(config), where_(std::move(where)) {
  require(config_.is_object(), where_, ": wanted a JSON object");
}

bool ConfigReader::has(const char* key) const { return config_.contains(key) && !config_.at(key).is_null(); }

void ConfigReader::wrong(const char* key, const std::string& wanted) const {
  const std::string found =
      has(key) ? config_.at(key).dump(-1, ' ', false, Json::error_handler_t::replace) : "nothing";
  fail(where_, ": '", key, "' must be ", wanted, ", found ", found.substr(0, 80));
}

std::int64_t ConfigReader::integer(const char* key, std::int64_t min, std::int64_t max,
                                   std::optional<std::int64_t> fallback) const {
  if (!has(key) && fallback) return *fallback;
  const auto wanted = [&] { return cat("a whole number from ", min, " to ", max); };
  if (!has(key) || !config_.at(key).is_number_integer()) wrong(key, wanted());
  const Json& value = config_.at(key);
  if (value.is_number_unsigned() && value.get<std::uint64_t>() > static_cast<std::uint64_t>(max))
    wrong(key, wanted());
  const auto number = value.get<std::int64_t>();
  if (number < min || number > max) wrong(key, wanted());
  return number;
}

double ConfigReader::number(const char* key, std::optional<double> fallback) const {
  if (!has(key) && fallback) return *fallback;
  if (!has(key) || !config_.at(key).is_number()) wrong(key, "a number");
  const auto value = config_.at(key).get<double>();
  if (!std::isfinite(value)) wrong(key, "a finite number");
  return value;
}

double ConfigReader::positive(const char* key, std::optional<double> fallback) const {
  const double value = number(key, fallback);
  if (!(value > 0)) wrong(key, "a number above 0");
  return value;
}

bool ConfigReader::boolean(const char* key, bool fallback) const {
  if (!has(key)) return fallback;
  if (!config_.at(key).is_boolean()) wrong(key, "true or false");
  return config_.at(key).get<bool>();
}

std::string ConfigReader::text(const char* key, const std::string& fallback) const {
  if (!has(key)) return fallback;
  if (!config_.at(key).is_string()) wrong(key, "a string");
  return config_.at(key).get<std::string>();
}

ConfigReader ConfigReader::section(const char* key) const {
  return {config_.at(key), where_ + ": '" + key + "'"};
}

void ConfigReader::refuse(const char* key, const char* why, std::optional<double> neutral) const {
  if (!has(key)) return;
  const Json& value = config_.at(key);
  const bool harmless = value == false || value == "" ||
                        ((value.is_array() || value.is_object()) && value.empty()) ||
                        (value.is_number() && value.get<double>() == neutral.value_or(0));
  if (!harmless)
    fail(where_, ": '", key, "' is ",
         value.dump(-1, ' ', false, Json::error_handler_t::replace).substr(0, 80), ": ", why);
}

void ConfigReader::refuse_foreign_parts(std::initializer_list<std::string_view> handled) const {
  const auto own = [&](std::string_view key) {
    return std::find(handled.begin(), handled.end(), key) != handled.end();
  };
  for (const Refusal& r : kForeign) {
    if (own(r.key)) continue;
    const bool window_off = std::string(r.key) == "sliding_window" && has("use_sliding_window") &&
                            config_.at("use_sliding_window") == false;
    if (!window_off) refuse(r.key, r.why, r.neutral);
  }
  // transformers attends both ways unless it is true or absent.
  if (json().contains("is_causal") && json().at("is_causal") != true)
    fail(where_, ": 'is_causal' is ", json().at("is_causal").dump(),
         ": attention to later tokens is not supported");
  if (!has("layer_types") || own("layer_types")) return;
  for (const Json& type : config_.at("layer_types"))
    if (type != "full_attention") wrong("layer_types", "a list of \"full_attention\"");
}

Activation read_activation(const ConfigReader& config, const char* key, const std::string& fallback,
                           std::initializer_list<Activation> supported) {
  const std::string name = config.text(key, fallback);
  std::string known;
  for (const ActivationName& row : kActivations)
    for (const Activation activation : supported) {
      if (row.activation != activation) continue;
      if (name == row.name) return activation;
      known += (known.empty() ? "" : ", ") + std::string(row.name);
    }
  config.wrong(key, "one of " + known);
}

std::string activation_name(Activation activation) {
  for (const ActivationName& row : kActivations)
    if (row.activation == activation) return row.name;
  return {};
}

namespace {

void check_rotary(const RotarySpec& rotary, std::int64_t head_size, const std::string& where) {
  const auto check = [&](const std::vector<double>& factors, const char* key) {
    require(factors.size() == static_cast<std::size_t>(head_size / 2), where, ": '", key, "' has ",
            factors.size(), " entries, half a head of ", head_size, " is ", head_size / 2);
  };
  if (rotary.scaling != RotaryScaling::LongRope) return;
  check(rotary.short_factors, "short_factor");
  check(rotary.long_factors, "long_factor");
}

}  // namespace

void check_spec(const DecoderSpec& spec, const std::string& where) {
  require(spec.num_kv_heads <= spec.num_heads && spec.num_heads % spec.num_kv_heads == 0, where, ": ",
          spec.num_heads, " attention heads cannot share ", spec.num_kv_heads, " key/value heads evenly");
  require(spec.position != PositionKind::Rotary || spec.head_size % 2 == 0, where, ": the head size ",
          spec.head_size, " must be even for rotary positions");
  check_rotary(spec.rotary, spec.head_size, where);
  if (spec.local_rotary) check_rotary(*spec.local_rotary, spec.head_size, where);
}

}  // namespace lathe
