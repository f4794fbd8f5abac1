// lathe preview RECIPE: what the model will see: rows with documents apart, or examples with what is learned
// of them.
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <optional>

#include "data/io/utf8.h"
#include "data/pipeline/loader.h"
#include "data/shards/prepare_examples.h"
#include "trainer/checks.h"
#include "trainer/cli/command.h"
#include "trainer/cli/preview_pictures.h"
#include "trainer/text/tuning_report.h"
#include "trainer/model_source.h"
#include "trainer/session.h"
#include "trainer/text/text_task.h"

namespace lathe {

namespace {

struct Arguments {
  std::string recipe;
  std::vector<std::string> overrides;
  std::optional<std::int64_t> count;  // default 2, of pictures 16
  std::string sheet;
  bool strict = false;
};

std::string ids_text(const Tokenizer& tokenizer, const Batch& batch, const Stretch& stretch) {
  std::vector<TokenId> ids;
  for (std::int32_t i = 0; i < stretch.length; ++i)
    ids.push_back(static_cast<TokenId>(batch.tokens[static_cast<std::size_t>(stretch.begin + i)]));
  return replace_invalid_utf8(tokenizer.decode(ids, true));
}

// One example: what is given dimmed, what is learned in colour (or in brackets where there is none).
std::string marked_text(const TokenExample& tokens, bool colour) {
  std::string out;
  bool learned = false;
  for (std::size_t i = 0; i < tokens.ids.size(); ++i) {
    const bool now = tokens.supervised[i] != 0;
    if (now && !learned) out += colour ? "\033[0m\033[32m" : "[[";
    if (!now && learned) out += colour ? "\033[0m\033[2m" : "]]";
    learned = now;
    out += tokens.pieces[i];
  }
  return (colour ? "\033[2m" : "") + out + (colour ? "\033[0m" : learned ? "]]" : "");
}

// Tuning: examples with their loss marks, and the data report. With --strict a report with errors fails.
ExitCode preview_examples(Context& context, const Recipe& recipe, const PreparedData& data,
                          const Arguments& arguments) {
  const TuningData& tuning = *data.tuning;
  const bool colour = !context.json && isatty(1) && std::getenv("NO_COLOR") == nullptr;
  const LossOn loss_on = parse_loss_on(recipe.data.loss_on);
  for (const ExampleFile& file : tuning.files) context.say(describe(file));
  for (const std::string& note : tuning.notes) context.say("note: " + note);
  context.say(tuning.format.chat_template ? "format: the base's own chat template"
                                          : "format: plain text, the base has no chat template");
  context.result["examples"] = Json::array();
  for (std::size_t i = 0;
       i < tuning.train.size() && i < static_cast<std::size_t>(arguments.count.value_or(2)); ++i) {
    TokenExample tokens = render_example(tuning.train[i], *data.tokenizer, tuning.format, loss_on);
    cut_to_row(tokens, recipe.data.sequence_length);
    const auto learned = std::count(tokens.supervised.begin(), tokens.supervised.end(), std::uint8_t{1});
    context.say(cat("--- ", tuning.train[i].origin, ": ", tokens.ids.size() - 1, " tokens, ", learned,
                    " of them learned"));
    context.say(replace_invalid_utf8(marked_text(tokens, colour)));
    context.result["examples"].push_back({{"origin", tuning.train[i].origin},
                                          {"ids", tokens.ids},
                                          {"supervised", tokens.supervised},
                                          {"text", replace_invalid_utf8(marked_text(tokens, false))}});
  }
  const DataReport report = tuning_data_report(recipe, data);
  context.say(to_text(report));
  context.result["report"] = to_json(report);
  if (arguments.strict && (report.has(Severity::Error) || report.has(Severity::Warning)))
    fail("the data report has errors or warnings (--strict)");
  return ExitCode::Done;
}

ExitCode preview(Context& context, const Arguments& arguments) {
  const LoadedRecipe loaded = checked_recipe(arguments.recipe, arguments.overrides);
  const Recipe& recipe = loaded.recipe;
  if (recipe.task == "diffusion")
    return preview_pictures(context, recipe,
                            {arguments.count.value_or(16), arguments.sheet, arguments.strict});
  const std::int64_t count = arguments.count.value_or(2);
  const PreparedData data = prepare_for(recipe);
  if (data.tuning) return preview_examples(context, recipe, data, arguments);
  LoaderOptions options;
  options.sequence_length = recipe.data.sequence_length;
  options.seed = static_cast<std::uint64_t>(recipe.train.seed);
  Loader loader(data.train, options);
  const bool colour = !context.json && isatty(1) && std::getenv("NO_COLOR") == nullptr;
  context.result["rows"] = Json::array();
  const auto all = static_cast<std::int64_t>(loader.rows_per_epoch());
  if (count > all) context.log(cat("note: an epoch has ", all, " rows; these are all"));
  for (std::int64_t row = 0; row < std::min(count, all); ++row) {
    const Batch batch = loader.read(static_cast<std::uint64_t>(row), 1);
    Json pieces = Json::array();
    context.say(cat("--- row ", row, ": ", batch.token_count, " tokens, ", batch.target_count,
                    " of them trained on, ", batch.length - batch.token_count, " padding, ",
                    batch.stretches.size(), " documents"));
    for (const Stretch& stretch : batch.stretches) {
      const std::string text = ids_text(*data.tokenizer, batch, stretch);
      pieces.push_back(Json{{"document", stretch.document}, {"tokens", stretch.length}, {"text", text}});
      context.say(cat(colour ? "\033[2m" : "", "[document ", stretch.document, ", ", stretch.length,
                      " tokens]", colour ? "\033[0m\033[32m" : "", "\n", text, colour ? "\033[0m" : ""));
    }
    context.result["rows"].push_back(pieces);
  }
  const TokenLedger& ledger = data.train.ledger;
  context.result["ledger"] = ledger.to_json();
  context.say(cat("data: ", ledger.documents_read, " documents read, ", ledger.documents_kept, " kept, ",
                  ledger.documents_duplicate, " exact duplicates, ", ledger.documents_dropped, " dropped; ",
                  static_cast<double>(ledger.bytes_kept) /
                      static_cast<double>(std::max<std::uint64_t>(1, ledger.tokens_kept)),
                  " bytes a token"));
  return ExitCode::Done;
}

}  // namespace

void add_preview(const Command& program) {
  const Command command = program.command("preview", "rows, examples or pictures as the model will see them");
  auto arguments = std::make_shared<Arguments>();
  command.option("RECIPE", arguments->recipe, "a file or a built-in name").required();
  command.option("--set", arguments->overrides, "a.b=value, over the recipe's own").repeatable();
  command.option("--count", arguments->count, "rows, examples or pictures; default 2, of pictures 16")
      .at_least_one();
  command.option("--sheet", arguments->sheet,
                 "pictures: where the contact sheet goes; default beside the shards");
  command.flag("--strict", arguments->strict,
               "tuning, pictures: fail when the data report has errors or warnings");
  command.runs([=](Context& context) { return preview(context, *arguments); });
}

}  // namespace lathe
