// lathe prepare RECIPE: corpus -> tokenizer (if asked) -> HDF5 shards.
#include <cmath>

#include "data/shards/prepare.h"
#include "trainer/checks.h"
#include "trainer/cli/command.h"
#include "trainer/cli/pictures.h"
#include "trainer/model_source.h"
#include "trainer/report/metrics.h"

namespace lathe {

namespace {

Json set_json(const PreparedSet& set) {
  return Json{
      {"name", set.name}, {"shards", set.shards}, {"bytes", set.bytes}, {"ledger", set.ledger.to_json()}};
}

void say_set(const Context& context, const PreparedSet& set) {
  const TokenLedger& ledger = set.ledger;
  context.say(cat(set.name, ": ", ledger.documents_kept, " documents kept, ", ledger.documents_duplicate,
                  " duplicates, ", ledger.documents_dropped, " dropped; ",
                  format_count(static_cast<double>(ledger.tokens_kept)), " tokens (",
                  format_bytes(static_cast<double>(set.bytes)), "), ", ledger.rows, " rows, ",
                  ledger.row_tokens + ledger.padded == 0
                      ? 0.0
                      : std::round(1000.0 * static_cast<double>(ledger.padded) /
                                   static_cast<double>(ledger.row_tokens + ledger.padded)) /
                            10,
                  " % padding"));
}

ExitCode prepare(Context& context, const std::string& path, const std::vector<std::string>& overrides) {
  const LoadedRecipe loaded = checked_recipe(path, overrides);
  if (loaded.recipe.task == "diffusion") return prepare_pictures_command(context, loaded.recipe);
  std::string last;
  const PrepareProgress progress = [&](const std::string& phase, double) {
    if (phase != last) context.log("prepare: " + phase);
    last = phase;
  };
  const PreparedData data = prepare_for(loaded.recipe, progress, ReadyCheck::Checksums);
  context.say(cat(data.was_ready ? "already prepared: " : "prepared: ", data.directory));
  context.say(cat("tokenizer: ", data.tokenizer->vocab_size(), " ids, ", data.tokenizer_path));
  say_set(context, data.train);
  for (const std::string& note : data.notes) context.say(note);
  context.result["directory"] = data.directory;
  context.result["was_ready"] = data.was_ready;
  context.result["tokenizer"] = data.tokenizer_path;
  context.result["data_sha256"] = data.data_sha256;
  context.result["notes"] = data.notes;
  context.result["train"] = set_json(data.train);
  context.result["validation"] = Json::array();
  for (const PreparedSet& set : data.validation) {
    say_set(context, set);
    context.result["validation"].push_back(set_json(set));
  }
  return ExitCode::Done;
}

}  // namespace

void add_prepare(const Command& program) {
  const Command command =
      program.command("prepare", "corpus -> tokenizer -> HDF5 shards; idempotent and restartable");
  auto path = std::make_shared<std::string>();
  auto overrides = std::make_shared<std::vector<std::string>>();
  command.option("RECIPE", *path, "a file or a built-in name").required();
  command.option("--set", *overrides, "a.b=value, over the recipe's own").repeatable();
  command.runs([=](Context& context) { return prepare(context, *path, *overrides); });
}

}  // namespace lathe
