// Rotary positions of config.json. transformers 5 keeps everything in rope_parameters, 4 has rope_theta and
// rope_scaling; some folders hold both. A key that a kind does not use is ignored, as there.
#include <cmath>
#include <string>
#include <vector>

#include "checkpoints/bundle/config_reader.h"

namespace lathe {

namespace {

constexpr std::int64_t kMaxPositions = std::int64_t{1} << 31;
constexpr std::size_t kMaxFrequencies = 1 << 16;

RotaryScaling read_kind(const ConfigReader& rope) {
  const std::string kind = rope.text("rope_type", rope.text("type", "default"));
  if (kind == "default") return RotaryScaling::None;
  if (kind == "linear") return RotaryScaling::Linear;
  if (kind == "dynamic") return RotaryScaling::Dynamic;
  if (kind == "llama3") return RotaryScaling::Llama3;
  if (kind == "yarn") return RotaryScaling::Yarn;
  if (kind == "longrope") return RotaryScaling::LongRope;
  fail(rope.where(), ": rope_type '", kind,
       "' is not supported; supported are default, linear, dynamic, llama3, yarn and longrope");
}

// What the scaling extends the context by: a number, else the ratio of the lengths after and before, as
// DeepSeek's and Phi's folders leave it.
double read_factor(const ConfigReader& rope, std::int64_t max_positions, std::int64_t original) {
  if (rope.has("factor")) return rope.positive("factor");
  return static_cast<double>(max_positions) / static_cast<double>(original);
}

void read_llama3(const ConfigReader& rope, RotarySpec& rotary) {
  rotary.low_freq_factor = rope.positive("low_freq_factor");
  rotary.high_freq_factor = rope.positive("high_freq_factor");
  require(rotary.high_freq_factor > rotary.low_freq_factor, rope.where(),
          ": 'high_freq_factor' must be above 'low_freq_factor'");
}

// DeepSeek's two factors of YaRN's attention temperature, as transformers combines them; 0 without them.
double combined_attention_factor(const ConfigReader& rope, double factor) {
  const double mscale = rope.number("mscale", 0), all = rope.number("mscale_all_dim", 0);
  if (mscale == 0 || all == 0) return 0;
  const auto temperature = [factor](double m) {
    return factor <= 1 ? 1.0 : 0.1 * m * std::log(factor) + 1.0;
  };
  return temperature(mscale) / temperature(all);
}

void read_yarn(const ConfigReader& rope, RotarySpec& rotary) {
  rotary.beta_fast = rope.positive("beta_fast", 32);
  rotary.beta_slow = rope.positive("beta_slow", 1);
  rotary.truncate = rope.boolean("truncate", true);
  rotary.attention_factor = rope.has("attention_factor") ? rope.positive("attention_factor")
                                                         : combined_attention_factor(rope, rotary.factor);
}

std::vector<double> read_factors(const ConfigReader& rope, const char* key) {
  const std::string wanted = "a list of numbers above 0, one for each frequency";
  if (!rope.has(key) || !rope.json().at(key).is_array() || rope.json().at(key).size() > kMaxFrequencies)
    rope.wrong(key, wanted);
  std::vector<double> factors;
  for (const Json& value : rope.json().at(key)) {
    if (!value.is_number() || !(value.get<double>() > 0) || !std::isfinite(value.get<double>()))
      rope.wrong(key, wanted);
    factors.push_back(value.get<double>());
  }
  return factors;
}

void read_longrope(const ConfigReader& rope, RotarySpec& rotary) {
  rotary.short_factors = read_factors(rope, "short_factor");
  rotary.long_factors = read_factors(rope, "long_factor");
  if (rope.has("attention_factor")) rotary.attention_factor = rope.positive("attention_factor");
}

void read_scaling(const ConfigReader& rope, std::int64_t max_positions, RotarySpec& rotary) {
  rotary.scaling = read_kind(rope);
  rope.refuse("partial_rotary_factor", "rotary positions on a part of the head are not supported", 1);
  rope.refuse("mrope_section", "multimodal positions are not supported");
  const RotaryScaling kind = rotary.scaling;
  if (kind == RotaryScaling::None) return;
  if (kind == RotaryScaling::Linear || kind == RotaryScaling::Dynamic) {
    rotary.factor = rope.positive("factor");
    return;
  }
  const std::int64_t least = kind == RotaryScaling::LongRope ? 2 : 1;  // its logarithm is divided by
  rotary.original_max_position_embeddings =
      rope.integer("original_max_position_embeddings", least, kMaxPositions, max_positions);
  rotary.factor = kind == RotaryScaling::Llama3
                      ? rope.positive("factor")
                      : read_factor(rope, max_positions, rotary.original_max_position_embeddings);
  if (kind == RotaryScaling::Llama3) read_llama3(rope, rotary);
  if (kind == RotaryScaling::Yarn) read_yarn(rope, rotary);
  if (kind == RotaryScaling::LongRope) read_longrope(rope, rotary);
}

}  // namespace

RotarySpec read_rope_section(const ConfigReader& rope, double theta, std::int64_t max_positions) {
  RotarySpec rotary;
  rotary.theta = rope.positive("rope_theta", theta);
  read_scaling(rope, max_positions, rotary);
  return rotary;
}

RotarySpec read_rotary(const ConfigReader& config, std::int64_t max_positions) {
  const double theta = config.positive("rope_theta", 10000);
  const bool older = config.has("rope_scaling") && !config.json().at("rope_scaling").empty();
  const char* key = older ? "rope_scaling" : "rope_parameters";
  if (!config.has(key)) {
    RotarySpec plain;
    plain.theta = theta;
    return plain;
  }
  Json section = config.json().at(key);
  // Phi's folders have the original length beside the section; it wins, as in transformers.
  if (section.is_object() && config.has("original_max_position_embeddings"))
    section["original_max_position_embeddings"] = config.json().at("original_max_position_embeddings");
  const ConfigReader rope(section, config.section(key).where());
  for (const auto& [name, value] : rope.json().items())
    require(!value.is_object(), rope.where(), ": rotary positions that differ by layer ('", name,
            "') are not supported");
  const RotarySpec rotary = read_rope_section(rope, theta, max_positions);
  // transformers takes rope_scaling alone where a folder has both.
  if (older && config.has("rope_parameters")) {
    const double other = config.section("rope_parameters").positive("rope_theta", rotary.theta);
    require(other == rotary.theta, config.where(), ": 'rope_theta' is ", rotary.theta,
            " beside 'rope_scaling', but ", other, " in 'rope_parameters'; they must agree");
  }
  return rotary;
}

}  // namespace lathe
