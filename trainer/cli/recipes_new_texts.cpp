// Numbers: about as many updates as tuning gets, but each text at least once and at most 15 times; rows as
// long as the texts, up to 512 tokens, which two cores train without much memory.
#include "trainer/cli/recipes_new_texts.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numeric>
#include <set>

#include "data/io/shell_word.h"
#include "data/shards/packing.h"
#include "data/sources/foreign.h"
#include "trainer/cli/recipe_text.h"
#include "trainer/report/metrics.h"
#include "trainer/tuning_rate.h"

namespace lathe {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kLongestRow = 512, kShortestRow = 64, kRowStep = 32;
constexpr double kUpdates = 100, kFullUpdates = 200, kMostEpochs = 15, kHeldShare = 0.2;
constexpr std::size_t kRowsToMeasure = 10, kLargeSet = 1000, kFilesNamed = 8;

// ".txt", ".jsonl.gz": as the file writes it.
std::string ending(const std::string& path) {
  const bool packed = text_extension(path) != fs::path(path).extension().string() && is_known_text(path) &&
                      path.size() > 3 && (path.ends_with(".gz") || path.ends_with(".GZ"));
  const std::string whole = packed ? path.substr(0, path.size() - 3) : path;
  return fs::path(whole).extension().string() + (packed ? path.substr(path.size() - 3) : "");
}

std::string field_of(const ExampleFile& file) {
  return file.container == "text" || file.shape.columns.empty() ? "text" : file.shape.columns.front().second;
}

class CorpusWriter {
 public:
  CorpusWriter(const NewRecipe& wanted, const TuningLook& look)
      : wanted_(wanted), look_(look), name_(plain_name(wanted.data)) {
    full_ = look.parameters < kFullTuningBelow;
    const auto longest = static_cast<std::int64_t>(look.tokens.back());
    const std::int64_t fitting = std::max(kShortestRow, (longest + kRowStep - 1) / kRowStep * kRowStep);
    row_ = std::min({fitting, kLongestRow, look.context});
    std::vector<std::uint64_t> lengths;
    for (const std::size_t tokens : look.tokens) lengths.push_back(std::max<std::size_t>(tokens + 1, 2));
    const std::uint64_t rows =
        pack_rows(lengths, {.sequence_length = static_cast<std::uint64_t>(row_)}).rows();
    const std::size_t n = look.data.examples.size();
    measures_ =
        n == 1 ? rows >= kRowsToMeasure : look.groups > 1 && std::max<std::size_t>(n, rows) >= kRowsToMeasure;
    batch_ = rows >= kLargeSet ? 16 : 4;
    per_epoch_ = std::max(
        1.0, static_cast<double>(rows) * (measures_ ? 1 - kHeldShare : 1) / static_cast<double>(batch_));
    const double updates = full_ ? kFullUpdates : kUpdates;
    steps_ = static_cast<std::int64_t>(std::ceil(std::clamp(updates, per_epoch_, kMostEpochs * per_epoch_)));
  }

  std::string text() {
    opening();
    text_.line("name: " + recipe_scalar(name_), "the run is runs/" + name_);
    text_.line("task: pretrain", "the base reads on: every token is learned, there are no questions");
    text_.line(cat("model: {path: ", recipe_scalar(input_path(wanted_.model, wanted_.output)), "}"),
               "the base; never changed");
    if (!full_)
      text_.line("adapter: {kind: lora, rank: 16, alpha: 32}", "what is trained; the base stays frozen");
    text_.line(cat("optimizer: {learning_rate: ", tuning_rate(look_.width, !full_), "}"),
               cat("peak, for a base ", look_.width, " wide; half of it when much is forgotten"));
    data();
    training();
    text_.line(full_ ? "export: [{format: huggingface}]" : "export: [{format: peft}, {format: huggingface}]",
               full_ ? "a folder for transformers and vLLM, read back and compared"
                     : "the adapter alone, and merged into the base");
    return text_.take();
  }

 private:
  void opening() {
    text_.remark(cat(fs::path(wanted_.data).filename().string(), " read by ", wanted_.model, "."));
    text_.remark("");
    text_.command("lathe preview " + shell_word(wanted_.output), "the rows as the model will see them");
    text_.command("lathe train " + shell_word(wanted_.output), "trains, compares with the base, exports");
    text_.command(cat("lathe generate runs/", name_, " --prompt TEXT"), "goes on with a text");
    text_.command("lathe recipes reference", "every key that may stand here");
    text_.remark("");
    const std::vector<ExampleFile>& files = look_.data.files;
    for (std::size_t i = 0; i < std::min(kFilesNamed, files.size()); ++i)
      text_.remark("Data: " + describe(files[i]) + ".");
    if (files.size() > kFilesNamed)
      text_.remark(cat("Data: and ", files.size() - kFilesNamed, " more files."));
    for (const std::string& note : look_.data.notes) text_.remark("Note: " + note);
    const std::vector<std::size_t>& t = look_.tokens;
    text_.remark(cat("Lengths: ", t.front(), " to ", t.back(), " tokens, half of them up to ",
                     t[t.size() / 2], ", ", std::accumulate(t.begin(), t.end(), std::size_t{0}), " in all."));
    text_.remark(cat("Base: ", look_.family, ", ", format_count(static_cast<double>(look_.parameters)),
                     " parameters, context ", look_.context, "."));
  }

  std::string source(const std::string& path, const std::string& glob, const std::string& field) const {
    return cat("{path: ", recipe_scalar(input_path(path, wanted_.output)),
               glob.empty() ? "" : ", glob: " + Json(glob).dump(),
               field == "text" ? "" : ", field: " + recipe_scalar(field), "}");
  }

  // A folder's texts by their endings, its records by their names: each may have a key of its own.
  std::string sources() const {
    std::string list;
    std::set<std::string> endings;
    for (const ExampleFile& file : look_.data.files) {
      const bool text = file.container == "text" && fs::is_directory(wanted_.data);
      if (text && !endings.insert(ending(file.path)).second) continue;
      list += (list.empty() ? "" : ", ") + (text ? source(wanted_.data, "*" + ending(file.path), "text")
                                                 : source(file.path, "", field_of(file)));
    }
    return list;
  }

  void data() {
    const std::size_t n = look_.data.examples.size();
    text_.line("data:", "paths are relative to this file");
    text_.line(cat("  train: [", sources(), "]"), cat(n, n == 1 ? " text" : " texts"));
    if (measures_)
      text_.line(cat("  validation: ", kHeldShare),
                 n == 1 ? "the end of the text is held out to measure"
                        : "of the bytes held out to measure; related texts stay on one side");
    else
      text_.line("  # validation: held_out.txt", "nothing is held out of so little, so nothing is measured");
    text_.line(cat("  sequence_length: ", row_),
               "tokens of a row; longer texts are split, shorter ones share one");
  }

  void training() {
    const double times = static_cast<double>(steps_) / per_epoch_;
    text_.line(cat("train: {max_steps: ", steps_, ", global_batch_size: ", batch_, "}"),
               cat("updates; each text is seen about ", std::round(10 * times) / 10, " times"));
    text_.line(cat("schedule: {warmup_steps: ", std::clamp<std::int64_t>(steps_ / 20, 0, 100), "}"),
               "small steps first, while the optimizer learns the gradients' size");
    if (!measures_) return;
    text_.line(cat("evaluate: {every: ", std::max<std::int64_t>(1, steps_ / 10), "}"),
               "updates between two looks at the held-out loss");
    text_.line("early_stopping: {patience: 3}", "ends after 3 looks without a lower one; the best is kept");
  }

  const NewRecipe& wanted_;
  const TuningLook& look_;
  CommentedText text_;
  std::string name_;
  bool full_ = false, measures_ = false;
  std::int64_t row_ = 0, batch_ = 4, steps_ = 0;
  double per_epoch_ = 1;
};

}  // namespace

bool reads_as_corpus(const TuningLook& look) {
  const auto plain = [](const Example& example) { return example.kind == ExampleKind::Text; };
  // A corpus goes by names: lines in .jsonl, an array in .json.
  const auto read = [](const ExampleFile& file) {
    const bool named = file.container == "jsonl"  ? is_record_file(file.path)
                       : file.container == "json" ? text_extension(file.path) == ".json"
                                                  : file.container == "text";
    return named && file.encoding.starts_with("UTF-8");
  };
  return std::all_of(look.data.examples.begin(), look.data.examples.end(), plain) &&
         std::all_of(look.data.files.begin(), look.data.files.end(), read);
}

std::string corpus_recipe(const NewRecipe& wanted, const TuningLook& look) {
  return CorpusWriter(wanted, look).text();
}

}  // namespace lathe
