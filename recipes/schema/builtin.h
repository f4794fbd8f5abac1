#pragma once
// Where the recipes that come with the program are.
#include <optional>
#include <string>

namespace lathe {

// $LATHE_RECIPES, then <program>/../share/lathe/recipes, then recipes/ of a source tree above the program; ""
// when there is none.
std::string builtin_folder();

// "quickstart", "quickstart.yaml" or "pretrain/quickstart" -> the file.
std::optional<std::string> find_builtin(const std::string& name);

}  // namespace lathe
