#include "data/shards/prepare.h"

#include "data/shards/preparation.h"
#include "data/shards/prepare_examples.h"
#include "recipes/schema/error.h"

namespace lathe {

PreparedData prepare_data(const Recipe& recipe, const PrepareProgress& progress, ReadyCheck check) {
  if (recipe.task == "sft") return prepare_examples(recipe, progress);
  const auto train = [](DocumentStream& documents, const TokenizerTraining& options) {
    return train_tokenizer(documents, options);
  };
  return prepare_data_with(recipe, progress,
                           {.load_tokenizer = load_tokenizer, .train_tokenizer = train, .check = check});
}

}  // namespace lathe
