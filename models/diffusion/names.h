#pragma once
// The names that recipes and reports use for schedules, predictions and samplers. Lists are in the order of
// the enums.
#include <string>
#include <vector>

#include "models/diffusion/sampler.h"
#include "recipes/schema/error.h"

namespace lathe {

inline const std::vector<std::string>& names_of(NoiseKind) {
  static const std::vector<std::string> names{"linear", "scaled_linear", "cosine", "flow"};
  return names;
}
inline const std::vector<std::string>& names_of(Prediction) {
  static const std::vector<std::string> names{"epsilon", "sample", "velocity", "flow"};
  return names;
}
inline const std::vector<std::string>& names_of(SamplerKind) {
  static const std::vector<std::string> names{"ddpm", "ddim", "euler", "heun", "dpm++_2m", "flow_euler"};
  return names;
}
inline const std::vector<std::string>& names_of(TimestepSpacing) {
  static const std::vector<std::string> names{"leading", "linspace", "trailing"};
  return names;
}

template <typename Enum>
const std::string& to_name(Enum value) {
  return names_of(value)[static_cast<std::size_t>(value)];
}

// Usage error naming `where` and the words that are known.
template <typename Enum>
Enum from_name(const std::string& name, const std::string& where) {
  const auto& names = names_of(Enum{});
  std::string known;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i] == name) return static_cast<Enum>(i);
    known += (i ? ", " : "") + names[i];
  }
  fail_usage(where, ": '", name, "' is not one of ", known);
}

}  // namespace lathe
