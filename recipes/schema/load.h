#pragma once
// Reading a recipe: file -> base -> --set -> typed Recipe, every error in one pass.
#include <map>
#include <string>
#include <vector>

#include "recipes/schema/recipe.h"

namespace lathe {

struct LoadedRecipe {
  Recipe recipe;
  std::string file;  // "" for a built-in
  std::map<std::string, std::string>
      source;     // "train.max_steps" -> "default" | "base.yaml:3" | "x.yaml:7" | "--set #1"
  Places places;  // of the keys that were given
  std::vector<RecipeProblem> problems;  // empty when good; the family may add more before throw_problems
  std::vector<std::string> notes;       // aliases taken: "note: x.yaml:4: 'lr' is read as 'learning_rate'"
};

// `path` is a file or the name of a built-in recipe (found_recipe). overrides are "a.b=value" texts of --set.
// Never throws for a recipe's content (problems holds it); throws Error when the file cannot be read.
LoadedRecipe load_recipe(const std::string& path, const std::vector<std::string>& overrides = {});

// The same from text (tests, checkpoints). `file` names it in messages; relative inputs are relative to its
// folder.
LoadedRecipe load_recipe_text(const std::string& text, const std::string& file,
                              const std::vector<std::string>& overrides = {});

// Throws one usage Error with every problem, a line each, sorted by place; returns when there is none.
void throw_problems(const LoadedRecipe& loaded);

// The resolved recipe as YAML that load_recipe_text reads back to the same values; paths absolute.
// with_sources adds each value's source as a comment.
std::string print_recipe(const LoadedRecipe& loaded, bool with_sources = false);

// Keys (dotted) whose values differ, with both values as text: {"train.seed", "17", "18"}.
struct RecipeDifference {
  std::string key, before, after;
};
std::vector<RecipeDifference> compare_recipes(const Recipe& before, const Recipe& after);

// Built-in recipes: <folder>/<task>/<name>.yaml beside the program or in the source tree.
struct BuiltinRecipe {
  std::string name, file, summary;
};
std::vector<BuiltinRecipe> builtin_recipes();

}  // namespace lathe
