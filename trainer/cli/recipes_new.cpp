// Numbers follow what works for a few dozen examples: about 100 updates of 4 examples, rank 16 with alpha 32
// (200 for all weights), at the rates of tuning_rate.h; a fifth is held out, and of fewer than 40 examples
// each fifth in its turn: eight answers are a coin's toss.
#include "trainer/cli/recipes_new.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "data/io/file_system.h"
#include "data/io/shell_word.h"
#include "recipes/schema/load.h"
#include "trainer/cli/recipe_text.h"
#include "trainer/cli/recipes_new_pictures.h"
#include "trainer/cli/recipes_new_scratch.h"
#include "trainer/cli/recipes_new_texts.h"
#include "trainer/evaluate/tuning_look.h"
#include "trainer/pictures/picture_look.h"
#include "trainer/pictures/picture_source.h"
#include "trainer/report/metrics.h"
#include "trainer/tuning_rate.h"

namespace lathe {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kFoldsFrom = 10, kHoldOutFrom = 40, kFolds = 5, kLargeSet = 1000, kRowStep = 32,
                      kShortestRow = 64;
constexpr double kUpdates = 100, kFullUpdates = 200, kHeldShare = 0.2;
constexpr double kEpochs = 15, kFullEpochs = 30;  // at most

// --columns prompt=frage,completion=antwort
ColumnMap columns_of(const NewRecipe& wanted) {
  ColumnMap columns;
  for (const std::string& entry : wanted.columns) {
    const std::size_t equals = entry.find('=');
    if (equals == 0 || equals == std::string::npos || equals + 1 == entry.size())
      fail_usage("--columns: wanted role=column, e.g. prompt=frage,completion=antwort; found '", entry, "'");
    columns.emplace_back(entry.substr(0, equals), entry.substr(equals + 1));
  }
  return columns;
}

class RecipeWriter {
 public:
  RecipeWriter(const NewRecipe& wanted, const TuningLook& look, const ColumnMap& columns)
      : wanted_(wanted), look_(look), name_(plain_name(wanted.data)) {
    for (const auto& [role, column] : columns)
      columns_ += cat(columns_.empty() ? "" : ", ", role, ": ", recipe_scalar(column));
    const std::size_t n = look.data.examples.size();
    full_ = look.parameters < kFullTuningBelow;
    measures_ = n >= kFoldsFrom && look.groups > 1;
    // Folds compare answers, and plain texts have none.
    folds_ = measures_ && n < kHoldOutFrom && look.groups >= kFolds && look.answers != AnswerKind::None;
    held_ = measures_ && !folds_ ? static_cast<std::size_t>(std::llround(kHeldShare * static_cast<double>(n)))
                                 : 0;
    batch_ = n >= kLargeSet ? 16 : 4;
    over_ =
        static_cast<std::size_t>(std::count_if(look.tokens.begin(), look.tokens.end(), [&](std::size_t t) {
          return t > static_cast<std::size_t>(look.context);
        }));
    if (over_ == n)
      fail_usage(wanted.data, ": all ", n, " examples are longer than the base's context ", look.context,
                 ": shorten them, or take a base that reads further",
                 look.answers == AnswerKind::None
                     ? "; plain texts of any length are read from .txt and .jsonl files in UTF-8"
                     : "");
    learned_ = static_cast<double>(n - held_) * static_cast<double>(n - over_) / static_cast<double>(n);
    const double per_epoch = learned_ / static_cast<double>(batch_);
    const double updates = full_ ? kFullUpdates : kUpdates, most = full_ ? kFullEpochs : kEpochs;
    epochs_ = static_cast<std::size_t>(std::clamp(std::round(updates / per_epoch), 3.0, most));
  }

  std::string text() {
    opening();
    line("name: " + recipe_scalar(name_), "the run is runs/" + name_);
    line("task: sft", look_.answers == AnswerKind::None ? "texts are learned whole"
                                                        : "the answers are learned, not the questions");
    line(cat("model: {path: ", recipe_scalar(input_path(wanted_.model, wanted_.output)), "}"),
         "the base; never changed");
    method();
    data();
    training();
    measuring();
    exports();
    return text_.take();
  }

 private:
  void line(const std::string& value, const std::string& why) { text_.line(value, why); }
  void remark(const std::string& text) { text_.remark(text); }
  void command(const std::string& text, const std::string& does) { text_.command(text, does); }

  void opening() {
    const std::vector<std::size_t>& t = look_.tokens;
    const bool talks = look_.data.examples.front().kind == ExampleKind::Chat || look_.has_template;
    remark(cat(fs::path(wanted_.data).filename().string(), " taught to ", wanted_.model, "."));
    remark("");
    command("lathe preview " + shell_word(wanted_.output), "the examples as the model will see them");
    command("lathe train " + shell_word(wanted_.output), "trains, compares with the base, exports");
    command(cat(talks ? "lathe chat runs/" : "lathe generate runs/", name_, talks ? "" : " --prompt TEXT"),
            "asks the result");
    command("lathe recipes reference", "every key that may stand here");
    remark("");
    for (const ExampleFile& file : look_.data.files) remark("Data: " + describe(file) + ".");
    for (const std::string& note : look_.data.notes) remark("Note: " + note);
    remark(
        cat("Lengths: ", t.front(), " to ", t.back(), " tokens, half of them up to ", t[t.size() / 2], "."));
    remark(cat("Base: ", look_.family, ", ", format_count(static_cast<double>(look_.parameters)),
               " parameters, context ", look_.context,
               look_.has_template ? ", with a chat template."
                                  : ", without a chat template: texts are joined plainly."));
  }

  void method() {
    if (full_) {
      line(cat("optimizer: {learning_rate: ", tuning_rate(look_.width, false), "}"),
           cat("peak, for a base ", look_.width, " wide; all weights are trained, as the base is small"));
      return;
    }
    line("adapter: {kind: lora, rank: 16, alpha: 32}", "what is trained; the base stays frozen");
    line(cat("optimizer: {learning_rate: ", tuning_rate(look_.width, true), "}"),
         cat("peak, for a base ", look_.width,
             " wide; half of it when much is forgotten, twice when little is learned"));
  }

  void data() {
    const std::size_t n = look_.data.examples.size(), longest = look_.tokens.back();
    const auto context = static_cast<std::size_t>(look_.context);
    line("data:", "paths are relative to this file");
    line("  train: " + recipe_scalar(input_path(wanted_.data, wanted_.output)),
         cat(n, n == 1 ? " example" : " examples"));
    if (look_.separator)
      line(cat("  template: {prompt: ", Json(look_.separator->prompt).dump(),
               ", completion: ", Json(look_.separator->completion).dump(), "}"),
           "a line break ends each question: the base has no chat template");
    else if (!columns_.empty())
      line(cat("  columns: {", columns_, "}"), "which column is what");
    if (folds_)
      line(cat("  validation: {folds: ", kFolds, "}"),
           cat("every example is held out once: ", kFolds, " short runs, then one on all ", n));
    else if (measures_)
      line("  validation: 0.2", cat(held_, " held out to measure; related ones stay on one side"));
    else
      line("  # validation: held_out.jsonl",
           n < kFoldsFrom ? cat("nothing is held out of ", n, " examples, so nothing is measured; from ",
                                kFoldsFrom, " on it is worth it")
                          : cat("all ", n, " examples are nearly the same: a file of its own would measure"));
    const std::size_t fitting = std::max(kShortestRow, (longest + kRowStep - 1) / kRowStep * kRowStep);
    line(cat("  sequence_length: ", std::min(fitting, context)),
         cat("tokens of a row; the longest example has ", longest));
    if (over_ > 0)
      line("  overlength: drop",
           cat(over_, " longer than the base's context ", context, ": left out and counted"));
    if (look_.several_turns)
      line("  loss_on: assistant", "every answer of a conversation (last_assistant: the last)");
  }

  void training() {
    const double rows = learned_ * static_cast<double>(epochs_);
    line(cat("train: {epochs: ", epochs_, ", global_batch_size: ", batch_, "}"),
         cat(over_ > 0 ? "about " : "", std::ceil(rows / static_cast<double>(batch_)),
             " updates; each example is seen ", epochs_, " times"));
    if (measures_)
      line("early_stopping: {patience: 3}",
           "ends after 3 epochs without a lower held-out loss; the best is kept");
  }

  void measuring() {
    if (!measures_ || look_.answers == AnswerKind::None) return;
    const char* metrics = "[exact_match, chrf]";
    std::string answers = "short texts";
    if (look_.answers == AnswerKind::Labels)
      metrics = "[accuracy, macro_f1]", answers = cat(look_.labels, " labels");
    if (look_.answers == AnswerKind::JsonObject) metrics = "[exact_match, json_valid]", answers = "JSON";
    if (look_.answers == AnswerKind::Long) metrics = "[rouge_l, chrf]", answers = "sentences";
    if (std::ranges::all_of(look_.data.examples, [](const Example& e) { return !e.choices.empty(); }))
      metrics = "[choice_accuracy, choice_accuracy_per_byte]", answers = "one of given choices";
    line(cat("evaluate: {metrics: ", metrics, "}"),
         cat("the answers are ", answers, "; the first metric decides"));
  }

  void exports() {
    if (full_)
      line("export: [{format: huggingface}]", "a folder for transformers and vLLM, read back and compared");
    else
      line("export: [{format: peft}, {format: huggingface}]", "the adapter alone, and merged into the base");
  }

  const NewRecipe& wanted_;
  const TuningLook& look_;
  CommentedText text_;
  std::string name_, columns_;
  bool full_ = false, measures_ = false, folds_ = false;
  std::size_t held_ = 0, over_ = 0, batch_ = 4, epochs_ = 3;
  double learned_ = 0;  // examples an epoch, of those that fit
};

}  // namespace

ExitCode write_new_recipe(Context& context, const NewRecipe& wanted) {
  const bool pictures = holds_pictures(wanted.data);
  if (!fs::exists(wanted.data)) fail_usage("--data names '", wanted.data, "', which does not exist");
  if (fs::is_directory(wanted.data) && fs::is_empty(wanted.data))
    fail_usage("--data ", wanted.data, ": an empty folder: no pictures and no texts in it");
  if (wanted.model.empty() && !pictures) return write_scratch_recipe(context, wanted);
  if (wanted.model.empty() || draws_pictures(resolve_model(wanted.model)))
    return write_picture_recipe(context, wanted);
  if (fs::exists(wanted.output))
    fail_usage("'", wanted.output, "' exists already and is not overwritten; choose another --output");
  const ColumnMap columns = columns_of(wanted);
  const TuningLook look = look_at_tuning(wanted.model, wanted.data, columns);
  const std::string text =
      reads_as_corpus(look) ? corpus_recipe(wanted, look) : RecipeWriter(wanted, look, columns).text();
  throw_problems(load_recipe_text(text, fs::absolute(wanted.output).string()));
  write_file_atomically(wanted.output, text);
  const std::vector<std::size_t>& tokens = look.tokens;
  context.result["file"] = wanted.output;
  context.result["recipe"] = text;
  context.result["examples"] = look.data.examples.size();
  context.result["tokens"] =
      Json{{"shortest", tokens.front()}, {"median", tokens[tokens.size() / 2]}, {"longest", tokens.back()}};
  context.result["model"] = Json{{"family", look.family},
                                 {"parameters", look.parameters},
                                 {"context", look.context},
                                 {"chat_template", look.has_template}};
  context.say(text);
  const std::string file = shell_word(wanted.output);
  context.say(cat("written to ", file, "; next:  lathe preview ", file, "    lathe train ", file));
  return ExitCode::Done;
}

}  // namespace lathe
