#include "trainer/freeze.h"

#include <algorithm>

#include "recipes/schema/error.h"

namespace lathe {
namespace {

bool names(const std::string& pattern, const std::string& parameter) {
  return ("." + parameter + ".").find("." + pattern + ".") != std::string::npos;
}

}  // namespace

bool is_frozen(const std::string& parameter, const std::vector<std::string>& patterns) {
  return std::ranges::any_of(patterns, [&](const std::string& pattern) { return names(pattern, parameter); });
}

void check_freeze(const std::vector<std::string>& parameters, const std::vector<std::string>& patterns) {
  for (const std::string& pattern : patterns)
    if (std::ranges::none_of(parameters,
                             [&](const std::string& parameter) { return names(pattern, parameter); }))
      fail_usage("model.freeze: no parameter has '", pattern, "' in its name, such as ", parameters.back());
  if (std::ranges::all_of(parameters,
                          [&](const std::string& parameter) { return is_frozen(parameter, patterns); }))
    fail_usage("model.freeze names every parameter: nothing would be trained");
}

}  // namespace lathe
