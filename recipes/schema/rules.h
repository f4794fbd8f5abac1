#pragma once
// What every rule about a recipe's combined keys needs: the place of a key, whether it was read well, and
// where problems and notes go. One class below for each group of sections; validate.cpp runs them all.
#include <initializer_list>
#include <set>
#include <string>
#include <vector>

#include "recipes/schema/load.h"
#include "recipes/schema/reader.h"
#include "recipes/schema/recipe.h"

namespace lathe {

// What the rules judge and where they write. `file` is the recipe's, for what is missing altogether.
struct RuleInput {
  const Recipe& recipe;
  std::string file;
  ReadContext& context;
  std::vector<std::string>& notes;
};

class Rules {
 public:
  explicit Rules(const RuleInput& input)
      : r_(input.recipe), file_(input.file), context_(input.context), notes_(input.notes) {}

 protected:
  // A rule speaks only where the keys it reads were read well.
  bool sound(std::initializer_list<const char*> keys) const;
  bool given(const std::string& key) const { return context_.places.count(key) > 0; }
  // Of the first of the keys that the recipe gives; of the section around the last when it gives none.
  Place place(const std::string& key) const { return place_of(context_.places, file_, key); }
  Place place(std::initializer_list<const char*> keys) const;
  void wrong(const Place& where, const std::string& text) {
    context_.problems.push_back({where, printable(text)});
  }
  void note(const std::string& key, const std::string& text);
  bool has_validation() const;

  const Recipe& r_;
  const std::string& file_;
  ReadContext& context_;
  std::vector<std::string>& notes_;
};

// In the order in which validate_recipe runs them.
void check_model_and_data(const RuleInput& input);
void check_training(const RuleInput& input);
void check_tuning(const RuleInput& input);
void check_pictures(const RuleInput& input);
void note_keys_without_effect(const RuleInput& input);

// Pictures that have a class instead of a text, and so no tokenizer.
bool draws_by_class(const std::string& family);

}  // namespace lathe
