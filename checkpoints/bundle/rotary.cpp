// Rotary positions of config.json. transformers 5 keeps everything in rope_parameters, 4 has rope_theta and
// rope_scaling; some folders hold both. A key that a kind does not use is ignored, as there.
#include <cmath>
#include <string>

#include "checkpoints/bundle/config_reader.h"

namespace lathe {

namespace {

constexpr std::int64_t kMaxPositions = std::int64_t{1} << 31;

RotaryScaling read_kind(const ConfigReader& rope) {
  const std::string kind = rope.text("rope_type", rope.text("type", "default"));
  if (kind == "default") return RotaryScaling::None;
  if (kind == "linear") return RotaryScaling::Linear;
  if (kind == "dynamic") return RotaryScaling::Dynamic;
  if (kind == "llama3") return RotaryScaling::Llama3;
  if (kind == "yarn") return RotaryScaling::Yarn;
  fail(rope.where(), ": rope_type '", kind,
       "' is not supported; supported are default, linear, dynamic, llama3 and yarn");
}

// DeepSeek's two factors of YaRN's attention temperature, as transformers combines them.
double combined_attention_factor(const ConfigReader& rope, double factor) {
  const double mscale = rope.number("mscale", 0), all = rope.number("mscale_all_dim", 0);
  if (mscale == 0 || all == 0) return 0;
  const auto temperature = [factor](double m) {
    return factor <= 1 ? 1.0 : 0.1 * m * std::log(factor) + 1.0;
  };
  return temperature(mscale) / temperature(all);
}

void read_scaling(const ConfigReader& rope, std::int64_t max_positions, RotarySpec& rotary) {
  rotary.scaling = read_kind(rope);
  rope.refuse("partial_rotary_factor", "rotary positions on a part of the head are not supported", 1);
  rope.refuse("mrope_section", "multimodal positions are not supported");
  if (rotary.scaling == RotaryScaling::None) return;
  rotary.factor = rope.positive("factor");
  if (rotary.scaling != RotaryScaling::Llama3 && rotary.scaling != RotaryScaling::Yarn) return;
  rotary.original_max_position_embeddings =
      rope.integer("original_max_position_embeddings", 1, kMaxPositions, max_positions);
  if (rotary.scaling == RotaryScaling::Llama3) {
    rotary.low_freq_factor = rope.positive("low_freq_factor");
    rotary.high_freq_factor = rope.positive("high_freq_factor");
    require(rotary.high_freq_factor > rotary.low_freq_factor, rope.where(),
            ": 'high_freq_factor' must be above "
            "'low_freq_factor'");
    return;
  }
  rotary.beta_fast = rope.positive("beta_fast", 32);
  rotary.beta_slow = rope.positive("beta_slow", 1);
  rotary.attention_factor = rope.number("attention_factor", combined_attention_factor(rope, rotary.factor));
  if (!rope.boolean("truncate", true)) rope.wrong("truncate", "true; YaRN without rounding is not supported");
}

}  // namespace

RotarySpec read_rope_section(const ConfigReader& rope, double theta, std::int64_t max_positions) {
  RotarySpec rotary;
  rotary.theta = rope.positive("rope_theta", theta);
  read_scaling(rope, max_positions, rotary);
  return rotary;
}

RotarySpec read_rotary(const ConfigReader& config, std::int64_t max_positions) {
  RotarySpec rotary;
  rotary.theta = config.positive("rope_theta", 10000);
  const char* key = config.has("rope_scaling") ? "rope_scaling" : "rope_parameters";
  if (!config.has(key)) return rotary;
  const ConfigReader rope = config.section(key);
  for (const auto& [name, value] : rope.json().items())
    require(!value.is_object(), rope.where(), ": rotary positions that differ by layer ('", name,
            "') are not supported");
  const char* theta_key = config.has("rope_parameters") ? "rope_parameters" : key;
  rotary.theta = config.section(theta_key).positive("rope_theta", rotary.theta);
  read_scaling(rope, max_positions, rotary);
  return rotary;
}

}  // namespace lathe
