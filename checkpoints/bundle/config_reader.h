#pragma once
// Reads config.json as transformers does: absent and null keys take the default, keys that are not asked for
// are harmless. What would change the maths and is not supported is refused by name, never ignored.
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "checkpoints/bundle/spec.h"
#include "data/io/json.h"

namespace lathe {

class ConfigReader {
 public:
  ConfigReader(const Json& config, std::string where);  // Error when it is not an object

  bool has(const char* key) const;  // there and not null
  // Whole number in [min, max]; without a fallback the key must be there.
  std::int64_t integer(const char* key, std::int64_t min, std::int64_t max,
                       std::optional<std::int64_t> fallback = {}) const;
  double number(const char* key, std::optional<double> fallback = {}) const;  // finite
  double positive(const char* key, std::optional<double> fallback = {}) const;
  bool boolean(const char* key, bool fallback) const;
  std::string text(const char* key, const std::string& fallback) const;
  ConfigReader section(const char* key) const;

  // Error when `key` is there and not null, false, 0 (or `neutral`), "" or empty.
  void refuse(const char* key, const char* why, std::optional<double> neutral = {}) const;
  // The keys that no dense decoder of ours can honour: quantisation, experts, custom code ..., and those that
  // only some families have, unless this one reads them itself: `handled`.
  void refuse_foreign_parts(std::initializer_list<std::string_view> handled = {}) const;

  const Json& json() const { return config_; }
  const std::string& where() const { return where_; }
  [[noreturn]] void wrong(const char* key, const std::string& wanted) const;

 private:
  const Json& config_;
  std::string where_;
};

Activation read_activation(const ConfigReader& config, const char* key, const std::string& fallback,
                           std::initializer_list<Activation> supported);
std::string activation_name(Activation activation);  // Hugging Face's

// rope_parameters of transformers 5, or rope_theta and rope_scaling of 4.
RotarySpec read_rotary(const ConfigReader& config, std::int64_t max_positions);
// One object of them: rope_type, rope_theta (default `theta`) and what the type needs.
RotarySpec read_rope_section(const ConfigReader& rope, double theta, std::int64_t max_positions);

// Error unless the sizes of a spec fit together.
void check_spec(const DecoderSpec& spec, const std::string& where);

}  // namespace lathe
