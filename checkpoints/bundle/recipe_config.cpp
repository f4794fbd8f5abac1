#include "checkpoints/bundle/recipe_config.h"

namespace lathe {

namespace {

Json id_or_null(std::int64_t id) { return id < 0 ? Json(nullptr) : Json(id); }

}  // namespace

RecipeChecker::RecipeChecker(const FamilyInput& input, std::vector<RecipeProblem>& problems)
    : input_(input), problems_(problems), before_(problems.size()) {}

void RecipeChecker::add(std::initializer_list<const char*> keys, const std::string& text) {
  Place place;
  if (input_.section && !input_.section->entries.empty()) place = input_.section->entries.front().key_place;
  bool found = false;
  for (const char* key : keys)
    for (std::size_t i = 0; input_.section && !found && i < input_.section->entries.size(); ++i) {
      found = input_.section->entries[i].key == key;
      if (found) place = input_.section->entries[i].value_place;
    }
  problems_.push_back({place, text});
}

Json common_config(const Family& family, const FamilyInput& input) {
  return {{"architectures", {family.architectures.at(0)}},
          {"model_type", family.model_types.at(0)},
          {"vocab_size", input.vocab_size},
          {"bos_token_id", id_or_null(input.bos)},
          {"eos_token_id", id_or_null(input.eos)},
          {"pad_token_id", id_or_null(input.pad)},
          {"torch_dtype", "float32"},  // transformers 4
          {"dtype", "float32"},        // transformers 5
          {"use_cache", true}};
}

std::int64_t positions_for(const FamilyInput& input, const std::optional<std::int64_t>& said, const char* key,
                           RecipeChecker& checker) {
  checker.check(said.value_or(input.sequence_length) >= input.sequence_length, {key},
                cat("model.", key, ": ", said.value_or(0), " positions are fewer than data.sequence_length ",
                    input.sequence_length, "; raise it, or leave it out"));
  return std::max(input.sequence_length, said.value_or(0));
}

void check_described(const Family& family, const Json& config, RecipeChecker& checker) {
  if (!checker.clean()) return;
  try {
    family.describe(config, "model");
  } catch (const Error& e) {
    checker.add({}, e.what());
  }
}

}  // namespace lathe
