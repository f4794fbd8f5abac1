#pragma once
// What families share when a recipe's `model:` section becomes config.json: problems with the place of a key,
// the token ids, and the final check that describe() accepts what was made.
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoints/bundle/family.h"

namespace lathe {

// Adds problems that point at the first of `keys` that the section holds, else at its first key.
class RecipeChecker {
 public:
  RecipeChecker(const FamilyInput& input, std::vector<RecipeProblem>& problems);
  void add(std::initializer_list<const char*> keys, const std::string& text);
  void check(bool good, std::initializer_list<const char*> keys, const std::string& text) {
    if (!good) add(keys, text);
  }
  bool clean() const { return problems_.size() == before_; }  // nothing was added since construction

 private:
  const FamilyInput& input_;
  std::vector<RecipeProblem>& problems_;
  std::size_t before_;
};

// architectures, model_type, vocab_size, ids, dtype and use_cache in the order of transformers' files.
Json common_config(const Family& family, const FamilyInput& input);

// The positions of the model: what the recipe's `key` says, else its rows' length; a problem when it says
// less.
std::int64_t positions_for(const FamilyInput& input, const std::optional<std::int64_t>& said, const char* key,
                           RecipeChecker& checker);

// describe(config) when nothing was wrong so far; its Error becomes a problem.
void check_described(const Family& family, const Json& config, RecipeChecker& checker);

// The row of `presets` with that name; a problem and the first row when there is none, nullptr for "".
template <class Preset, std::size_t kCount>
const Preset* find_preset(const Preset (&presets)[kCount], const std::string& size, RecipeChecker& checker) {
  if (size.empty()) return nullptr;
  std::string known;
  for (const Preset& preset : presets) {
    if (size == preset.size) return &preset;
    known += (known.empty() ? "" : ", ") + std::string(preset.size);
  }
  checker.add({"size"}, "model.size: '" + size + "' is not known; known are " + known);
  return &presets[0];
}

}  // namespace lathe
