#include "data/shards/prepare.h"

#include "data/shards/preparation.h"

namespace lathe {

PreparedData prepare_data(const Recipe& recipe, const PrepareProgress& progress) {
  return prepare_data_with(recipe, progress,
                           {.load_tokenizer = load_tokenizer, .train_tokenizer = train_tokenizer});
}

}  // namespace lathe
