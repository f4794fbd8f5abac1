#include "checkpoints/bundle/family.h"

#include <algorithm>

#include "recipes/schema/scalars.h"

namespace lathe {

const Family& family_by_name(const std::string& name) {
  std::vector<std::string> names;
  for (const Family* family : families()) {
    if (family->name == name) return *family;
    names.push_back(family->name);
  }
  std::string known;
  for (const std::string& one : names) known += (known.empty() ? "" : ", ") + one;
  fail_usage("model family '", name, "' is not known; known are ", known, did_you_mean(name, names));
}

const Family& family_of_config(const Json& config, const std::string& where) {
  const auto type = json_get<std::string>(config, "model_type", where);
  std::string known;
  for (const Family* family : families())
    for (const std::string& known_type : family->model_types) {
      if (known_type == type) return *family;
      known += (known.empty() ? "" : ", ") + known_type;
    }
  fail(where, ": model_type '", type, "' is not supported; supported are ", known);
}

}  // namespace lathe
