// lathe preview RECIPE: rows as the model will see them, documents apart, and what the data holds.
#include <CLI/CLI.hpp>

#include <unistd.h>

#include <cstdlib>

#include "data/io/utf8.h"
#include "data/pipeline/loader.h"
#include "trainer/checks.h"
#include "trainer/cli/command.h"
#include "trainer/model_source.h"
#include "trainer/session.h"

namespace lathe {

namespace {

struct Arguments {
  std::string recipe;
  std::vector<std::string> overrides;
  std::int64_t count = 2;
};

std::string ids_text(const Tokenizer& tokenizer, const Batch& batch, const Stretch& stretch) {
  std::vector<TokenId> ids;
  for (std::int32_t i = 0; i < stretch.length; ++i) ids.push_back(static_cast<TokenId>(batch.tokens[static_cast<std::size_t>(stretch.begin + i)]));
  return replace_invalid_utf8(tokenizer.decode(ids, true));
}

ExitCode preview(Context& context, const Arguments& arguments) {
  const LoadedRecipe loaded = checked_recipe(arguments.recipe, arguments.overrides);
  const Recipe& recipe = loaded.recipe;
  const PreparedData data = prepare_for(recipe);
  LoaderOptions options;
  options.sequence_length = recipe.data.sequence_length;
  options.seed = static_cast<std::uint64_t>(recipe.train.seed);
  Loader loader(data.train, options);
  const bool colour = !context.json && isatty(1) && std::getenv("NO_COLOR") == nullptr;
  context.result["rows"] = Json::array();
  for (std::int64_t row = 0; row < arguments.count; ++row) {
    const Batch batch = loader.read(static_cast<std::uint64_t>(row), 1);
    Json pieces = Json::array();
    context.say(cat("--- row ", row, ": ", batch.token_count, " tokens, ", batch.target_count, " of them trained on, ",
                    batch.length - batch.token_count, " padding, ", batch.stretches.size(), " documents"));
    for (const Stretch& stretch : batch.stretches) {
      const std::string text = ids_text(*data.tokenizer, batch, stretch);
      pieces.push_back(Json{{"document", stretch.document}, {"tokens", stretch.length}, {"text", text}});
      context.say(cat(colour ? "\033[2m" : "", "[document ", stretch.document, ", ", stretch.length, " tokens]",
                      colour ? "\033[0m\033[32m" : "", "\n", text, colour ? "\033[0m" : ""));
    }
    context.result["rows"].push_back(pieces);
  }
  const TokenLedger& ledger = data.train.ledger;
  context.result["ledger"] = ledger.to_json();
  context.say(cat("data: ", ledger.documents_read, " documents read, ", ledger.documents_kept, " kept, ",
                  ledger.documents_duplicate, " exact duplicates, ", ledger.documents_dropped, " dropped; ",
                  static_cast<double>(ledger.bytes_kept) / static_cast<double>(std::max<std::uint64_t>(1, ledger.tokens_kept)),
                  " bytes a token"));
  return ExitCode::Done;
}

}  // namespace

void add_preview(CLI::App& app, Run& run) {
  auto* command = app.add_subcommand("preview", "rows as the model will see them");
  auto arguments = std::make_shared<Arguments>();
  command->add_option("RECIPE", arguments->recipe, "a file or a built-in name")->required();
  command->add_option("--set", arguments->overrides, "a.b=value, over the recipe's own")->take_all()->expected(1);
  command->add_option("--count", arguments->count, "rows")->check(CLI::PositiveNumber);
  command->callback([=, &run] { run = [=](Context& context) { return preview(context, *arguments); }; });
}

}  // namespace lathe
