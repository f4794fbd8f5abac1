// lathe check RECIPE: validate, print the resolved recipe with the source of each value.
#include <CLI/CLI.hpp>

#include "trainer/checks.h"
#include "trainer/cli/command.h"
#include "trainer/cli/pictures.h"

namespace lathe {

namespace {

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
  std::vector<RecipeProblem> none;
  if (loaded.recipe.model.path.empty()) {
    const ModelPlan plan = plan_model(loaded.recipe, loaded.recipe.tokenizer.vocab_size, {}, none);
    context.result["config"] = plan.config;
    context.result["parameters"] = parameter_count(plan.spec);
    context.say(cat("# model: ", plan.family->name, ", ", parameter_count(plan.spec), " parameters; config.json:"));
    context.say("# " + plan.config.dump());
  }
  for (const ExportSection& target : loaded.recipe.exports) {
    const char* what = target.format == "peft" ? "the adapter alone and the tokenizer are written; peft, vLLM and llama.cpp's "
                                                 "converter read this folder beside its base"
                                               : "every tensor and the tokenizer are written; transformers, vLLM and "
                                                 "llama.cpp's converter read this folder";
    context.say(cat("# export ", target.format, ": ", what));
  }
  return ExitCode::Done;
}

}  // namespace

void add_check(CLI::App& app, Run& run) {
  auto* command = app.add_subcommand("check", "validate a recipe and print it resolved, each value with its source");
  auto path = std::make_shared<std::string>();
  auto overrides = std::make_shared<std::vector<std::string>>();
  command->add_option("RECIPE", *path, "a file or a built-in name")->required();
  command->add_option("--set", *overrides, "a.b=value, over the recipe's own")->take_all()->expected(1);
  command->callback([=, &run] { run = [=](Context& context) { return check(context, *path, *overrides); }; });
}

}  // namespace lathe
