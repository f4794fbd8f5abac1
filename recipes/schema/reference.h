#pragma once
// Every key of a recipe, for people and for editors, from the same description that reads recipes.
#include <string>
#include <vector>

#include "recipes/schema/describe.h"

namespace lathe {

struct ModelKeys {  // of a family, which stand in `model:` beside the keys that all have
  std::string family, task;
  std::vector<Field> keys;
};

// Markdown tables of every key with type, default and help.
std::string recipe_reference(const std::vector<ModelKeys>& models = {});
// JSON Schema (2020-12) for editors. What may stand in `model:` depends on its `family`.
std::string recipe_json_schema(const std::vector<ModelKeys>& models = {});

}  // namespace lathe
