// lathe check RECIPE: validate, print the resolved recipe with the source of each value.
#include <filesystem>
#include <optional>

#include "data/sources/documents.h"
#include "data/templates/template_folder.h"
#include "data/tokenizers/load.h"
#include "trainer/base_notes.h"
#include "trainer/checks.h"
#include "trainer/cli/command.h"
#include "trainer/cli/pictures.h"
#include "trainer/model_source.h"
#include "trainer/report/metrics.h"

namespace lathe {

namespace {

// A recipe's base, from its configuration alone; nothing when it is not on this machine (train says so).
std::optional<Bundle> base_of(const std::string& model) {
  std::optional<ModelSource> source;
  try {
    source = resolve_model(model);
  } catch (const Error&) {
    if (std::filesystem::exists(model)) throw;
    return std::nullopt;
  }
  return is_adapter_folder(source->folder) ? load_adapted(*source).base : read_bundle(source->folder);
}

// Whoever prepares the data reads these of the base: a broken one is told now.
void read_words_of(const Bundle& base, const Recipe& recipe) {
  if (!recipe.tokenizer.train.empty() || !recipe.tokenizer.path.empty()) return;
  if (!base.tokenizer) load_tokenizer(base.origin);  // says what is missing
  if (recipe.task == "sft") read_chat_format(base.origin);
}

// What the engines that read an export would find.
std::string told(const ExportSection& target) {
  if (target.format == "peft")
    return "the adapter alone and the tokenizer are written; peft, vLLM and llama.cpp's converter read this "
           "folder "
           "beside its base";
  if (target.format != "gguf")
    return "every tensor and the tokenizer are written; transformers, vLLM and llama.cpp's converter read "
           "this folder";
  return "every tensor and the tokenizer in one file, and a Modelfile; llama.cpp and Ollama read it";
}

// How much there is to read; an Error for what is not read here and for a glob that matches nothing.
void check_files(Context& context, const DataSection& data) {
  const auto tell = [&](const std::string& set, const std::vector<SourceSection>& sources) {
    std::uint64_t bytes = 0;
    const std::vector<SourceFile> files = list_source_files(sources);
    for (const SourceFile& file : files) bytes += file.bytes;
    context.say(cat("# ", set, ": ", files.size(), files.size() == 1 ? " file, " : " files, ",
                    format_bytes(static_cast<double>(bytes))));
  };
  tell("data.train", data.train);
  for (const SourceSection& set : data.validation.sets) tell("data.validation " + set.name, {set});
}

ExitCode check(Context& context, const std::string& path, const std::vector<std::string>& overrides) {
  const LoadedRecipe loaded = checked_recipe(path, overrides);
  for (const std::string& note : loaded.notes) context.log(note);
  const std::string text = print_recipe(loaded, true);
  context.say(text);
  context.result["valid"] = true;
  context.result["recipe"] = text;
  if (loaded.recipe.task == "diffusion") {
    check_pictures(context, loaded.recipe);
    return ExitCode::Done;
  }
  check_files(context, loaded.recipe.data);
  std::vector<RecipeProblem> none;
  if (loaded.recipe.model.path.empty()) {
    const ModelPlan plan = plan_model(loaded.recipe, loaded.recipe.tokenizer.vocab_size, {}, none);
    context.result["config"] = plan.config;
    context.result["parameters"] = parameter_count(plan.spec);
    context.say(
        cat("# model: ", plan.family->name, ", ", parameter_count(plan.spec), " parameters; config.json:"));
    context.say("# " + plan.config.dump());
  } else if (const std::optional<Bundle> base = base_of(loaded.recipe.model.path)) {
    read_words_of(*base, loaded.recipe);
    if (const std::string note = base_dropout_note(*base->family, base->config); !note.empty())
      context.say("# base: " + note);
  } else {
    context.say(
        cat("# base: '", loaded.recipe.model.path, "' is not on this machine, so it was not looked at"));
  }
  for (const ExportSection& target : loaded.recipe.exports)
    context.say(cat("# export ", target.format, ": ", told(target)));
  return ExitCode::Done;
}

}  // namespace

void add_check(const Command& program) {
  const Command command =
      program.command("check", "validate a recipe and print it resolved, each value with its source");
  auto path = std::make_shared<std::string>();
  auto overrides = std::make_shared<std::vector<std::string>>();
  command.option("RECIPE", *path, "a file or a built-in name").required();
  command.option("--set", *overrides, "a.b=value, over the recipe's own").repeatable();
  command.runs([=](Context& context) { return check(context, *path, *overrides); });
}

}  // namespace lathe
