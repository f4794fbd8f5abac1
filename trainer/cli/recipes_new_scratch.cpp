// Numbers: about 20 tokens a parameter (arXiv 2203.15556), but no text more than 4 times, up to where repeats
// teach nearly as much as new texts (arXiv 2305.16264); rows of 512 tokens.
#include "trainer/cli/recipes_new_scratch.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "data/io/file_system.h"
#include "data/io/line_reader.h"
#include "data/io/shell_word.h"
#include "data/sources/documents.h"
#include "data/sources/foreign.h"
#include "recipes/schema/load.h"
#include "trainer/cli/recipe_text.h"
#include "trainer/report/metrics.h"

namespace lathe {
namespace {

namespace fs = std::filesystem;

constexpr double kBytesPerToken = 3.5, kTokensPerParameter = 20, kMostEpochs = 4;
constexpr std::int64_t kRow = 512;
constexpr std::size_t kLongestRecord = 16 << 20;

struct Choice {
  double below;  // bytes of text
  const char* size;
  double parameters;
  std::int64_t vocabulary, batch;
};
constexpr Choice kChoices[] = {
    {300e3, "1m", 1e6, 1024, 8},    {3e6, "1m", 1e6, 4096, 8},     {30e6, "5m", 5e6, 8192, 8},
    {300e6, "15m", 15e6, 8192, 16}, {3e9, "60m", 60e6, 16384, 64}, {1e300, "125m", 125e6, 32000, 128},
};

// The key of the first record that holds its text.
std::string field_of(const std::string& path) {
  LineReader lines(path, kLongestRecord);
  auto line = lines.next();
  while (line && line->find_first_not_of(" \t\r") == line->npos) line = lines.next();
  if (!line) return "text";  // an empty file
  const Json record = parse_json(std::string(*line), cat(path, ":", lines.line_number()));
  if (record.is_string() || (record.is_object() && record.contains("text"))) return "text";
  std::vector<std::string> texts;
  if (record.is_object())
    for (const auto& [key, value] : record.items())
      if (value.is_string()) texts.push_back(key);
  if (texts.size() != 1)
    fail_usage(path, ": its records have ", texts.size(),
               " texts and none called 'text'; questions and answers "
               "tune a base, which --model names, and a corpus has one text a record");
  return texts.front();
}

struct Look {
  std::vector<SourceFile> files;
  std::string left_out, field = "text";
  double bytes = 0;
};

Look look_at(const std::string& data) {
  Look look;
  SourceSection source;
  source.path = data;
  if (const std::string kind = text_extension(data); kind == ".csv" || kind == ".tsv")
    fail_usage("--model is wanted: '", data, "' is a table of examples, which tune a base");
  look.files = list_source_files({source}, &look.left_out);
  for (const SourceFile& file : look.files) look.bytes += static_cast<double>(file.bytes);
  const auto records = std::find_if(look.files.begin(), look.files.end(),
                                    [](const SourceFile& file) { return is_record_file(file.path); });
  if (records != look.files.end()) look.field = field_of(records->path);
  return look;
}

std::string recipe_of(const NewRecipe& wanted, const Look& look) {
  const Choice& choice = *std::find_if(std::begin(kChoices), std::end(kChoices),
                                       [&](const Choice& each) { return look.bytes < each.below; });
  const std::string name = plain_name(wanted.data), file = shell_word(wanted.output);
  const double share = look.bytes < 30e6 ? 0.1 : 0.02, tokens = look.bytes * (1 - share) / kBytesPerToken,
               budget = std::min(kMostEpochs * tokens, kTokensPerParameter * choice.parameters);
  const auto steps = std::max<std::int64_t>(
      20, static_cast<std::int64_t>(budget / static_cast<double>(choice.batch * kRow)));
  const std::int64_t every = std::max<std::int64_t>(1, steps / 10);
  CommentedText text;
  text.remark("A language model of " + fs::path(wanted.data).filename().string() + ", from nothing.");
  text.remark("");
  text.command("lathe plan " + file, "its memory, and the time on this machine");
  text.command("lathe train " + file, "makes tokenizer and shards, trains, exports");
  text.command(cat("lathe generate runs/", name, " --prompt TEXT"), "goes on with a text");
  text.command("lathe recipes reference", "every key that may stand here");
  text.remark("");
  text.remark(cat("Data: ", look.files.size(), look.files.size() == 1 ? " file of " : " files of ",
                  format_bytes(look.bytes), ", about ", format_count(look.bytes / kBytesPerToken),
                  " tokens."));
  if (!look.left_out.empty()) text.remark("Note: " + look.left_out + ".");
  text.line("name: " + recipe_scalar(name), "the run is runs/" + name);
  text.line("task: pretrain", "every token is learned");
  text.line(cat("model: {family: llama, size: ", choice.size, "}"),
            "1m 5m 15m 60m 125m 350m 1b: larger ones want more text and time");
  text.line(cat("tokenizer: {train: byte_bpe, vocab_size: ", choice.vocabulary, "}"),
            "trained on these texts, lossless");
  text.line("data:", "paths are relative to this file");
  text.line(cat("  train: [{path: ", recipe_scalar(input_path(wanted.data, wanted.output)),
                look.field == "text" ? "" : ", field: " + recipe_scalar(look.field), "}]"),
            "glob: and exclude: choose among a folder's files");
  text.line(cat("  validation: ", share),
            "of the bytes held out to measure; near-duplicates stay on one side");
  text.line(cat("  sequence_length: ", kRow),
            "tokens of a row; longer texts are split, shorter ones share one");
  text.line("optimizer: {name: muon, learning_rate: 3e-3, muon_learning_rate: 0.02, weight_decay: 0.01}",
            "learns from few tokens about three times as fast as AdamW alone");
  text.line(cat("schedule: {name: linear, warmup_steps: ", std::clamp<std::int64_t>(steps / 20, 1, 100),
                ", min_lr_ratio: 0.05}"),
            "of the learning rate over the steps");
  text.line(cat("train: {max_steps: ", steps, ", global_batch_size: ", choice.batch, "}"),
            cat("about ", std::round(10 * static_cast<double>(steps * choice.batch * kRow) / tokens) / 10,
                " times through the texts"));
  text.line(cat("evaluate: {every: ", every, "}"), "steps between two looks at the held-out loss");
  text.line(cat("checkpoint: {every: ", every, ", keep_last: 2}"), "a stopped run goes on from the newest");
  text.line("export: [{format: huggingface}]", "a folder for transformers and vLLM, read back and compared");
  return text.take();
}

}  // namespace

ExitCode write_scratch_recipe(Context& context, const NewRecipe& wanted) {
  if (!wanted.columns.empty())
    fail_usage("--columns is for examples, which tune a base: name it with --model");
  if (fs::exists(wanted.output))
    fail_usage("'", wanted.output, "' exists already and is not overwritten; choose another --output");
  const Look look = look_at(wanted.data);
  const std::string text = recipe_of(wanted, look), file = shell_word(wanted.output);
  throw_problems(load_recipe_text(text, fs::absolute(wanted.output).string()));
  write_file_atomically(wanted.output, text);
  context.result["file"] = wanted.output;
  context.result["recipe"] = text;
  context.result["files"] = look.files.size();
  context.result["bytes"] = look.bytes;
  context.say(text);
  context.say(cat("written to ", file, "; next:  lathe plan ", file, "    lathe train ", file));
  return ExitCode::Done;
}

}  // namespace lathe
