#include "data/shards/prepare.h"

#include "data/shards/preparation.h"
#include "data/shards/prepare_examples.h"
#include "recipes/schema/error.h"

namespace lathe {

PreparedData prepare_data(const Recipe& recipe, const PrepareProgress& progress) {
  if (recipe.task == "sft") return prepare_examples(recipe, progress);
  const auto train = [](DocumentStream& documents, const TokenizerTraining& options) {
    return train_tokenizer(documents, options);
  };
  return prepare_data_with(recipe, progress, {.load_tokenizer = load_tokenizer, .train_tokenizer = train});
}

std::string describe_cuts(const PreparedData& data) {
  const std::uint64_t cut = data.train.ledger.documents_cut;
  if (cut == 0 || data.validation.empty()) return "";
  return cat("held out: the last ", data.validation[0].ledger.bytes_read, " bytes of ", cut,
             cut == 1 ? " document, cut" : " documents, each cut",
             " at a blank line or a line's end, because whole documents cannot give the share that "
             "data.validation asks for");
}

}  // namespace lathe
