#include "recipes/schema/builtin.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "recipes/schema/load.h"

namespace lathe {

namespace fs = std::filesystem;

namespace {

bool holds_recipes(const fs::path& folder) {
  std::error_code error;
  return fs::is_directory(folder / "pretrain", error);
}

// The first comment of a recipe says what it is.
std::string first_comment(const fs::path& file) {
  std::ifstream in(file);
  std::string line;
  while (std::getline(in, line) && line.starts_with("#")) {
    const auto begin = line.find_first_not_of("# \t");
    if (begin != std::string::npos) return line.substr(begin);
  }
  return "";
}

}  // namespace

std::string builtin_folder() {
  if (const char* set = std::getenv("LATHE_RECIPES"); set && *set) return set;
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  if (error) return "";
  const fs::path installed = program.parent_path().parent_path() / "share/lathe/recipes";
  if (holds_recipes(installed)) return installed.string();
  for (fs::path folder = program.parent_path(); folder != folder.root_path(); folder = folder.parent_path()) {
    if (holds_recipes(folder / "recipes")) return (folder / "recipes").string();
  }
  return "";
}

std::vector<BuiltinRecipe> builtin_recipes() {
  std::vector<BuiltinRecipe> found;
  const std::string folder = builtin_folder();
  std::error_code error;
  if (folder.empty()) return found;
  for (const auto& task : fs::directory_iterator(folder, error)) {
    if (!task.is_directory(error)) continue;
    for (const auto& file : fs::directory_iterator(task.path(), error)) {
      if (file.path().extension() != ".yaml") continue;
      const std::string name = file.path().stem().string();
      found.push_back({name, file.path().string(), first_comment(file.path())});
    }
  }
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.file < b.file; });
  return found;
}

std::optional<std::string> find_builtin(const std::string& name) {
  std::string wanted = name;
  if (wanted.ends_with(".yaml")) wanted.resize(wanted.size() - 5);
  for (const BuiltinRecipe& recipe : builtin_recipes()) {
    const fs::path file = recipe.file;
    if (recipe.name == wanted || (file.parent_path().filename() / recipe.name).string() == wanted)
      return recipe.file;
  }
  return std::nullopt;
}

}  // namespace lathe
