#pragma once
// The second stage of checking a recipe: what needs the family, the tokenizer or the data (the first stage is
// recipes/schema/validate). Both feed one list of problems.
#include <string>
#include <vector>

#include "checkpoints/bundle/bundle.h"
#include "data/shards/prepare.h"
#include "recipes/schema/load.h"

namespace lathe {

// Loads a recipe and checks it against its family; throws one usage Error that lists everything wrong.
LoadedRecipe checked_recipe(const std::string& path, const std::vector<std::string>& overrides);

// The family and complete config.json of a recipe from scratch, or of the folder it starts from.
struct ModelPlan {
  const Family* family = nullptr;
  Json config;
  Json generation_config;  // of the folder; null where it has none
  DecoderSpec spec;
  std::int64_t first_added = 0, added = 0;  // ids of tokens put behind a base's vocabulary
};
ModelPlan plan_model(const Recipe& recipe, const Tokenizer& tokenizer);
// The same when no tokenizer exists yet (check, plan): vocab_size as asked for.
ModelPlan plan_model(const Recipe& recipe, std::int64_t vocab_size, const SpecialTokens& special,
                     std::vector<RecipeProblem>& problems);

}  // namespace lathe
