// lathe recipes [list | show NAME | copy NAME | new | reference]: what is built in, one for your data, and
// every key.
#include <algorithm>
#include <filesystem>

#include "checkpoints/bundle/family.h"
#include "data/io/file_system.h"
#include "data/io/shell_word.h"
#include "recipes/schema/load.h"
#include "recipes/schema/reference.h"
#include "trainer/cli/command.h"
#include "trainer/cli/recipes_new.h"
#include "trainer/pictures/dit_plan.h"
#include "trainer/pictures/picture_plan.h"
#include "trainer/pictures/unet_plan.h"

namespace lathe {

namespace {

namespace fs = std::filesystem;

BuiltinRecipe find(const std::string& name) {
  std::string known;
  for (const BuiltinRecipe& recipe : builtin_recipes()) {
    if (recipe.name == name) return recipe;
    known += cat(known.empty() ? "" : ", ", recipe.name);
  }
  fail_usage("there is no built-in recipe '", name, "'; there are: ", known);
}

ExitCode list(Context& context) {
  context.result["recipes"] = Json::array();
  for (const BuiltinRecipe& recipe : builtin_recipes()) {
    context.say(cat(recipe.name, "  ", recipe.summary));
    context.result["recipes"].push_back(
        Json{{"name", recipe.name}, {"file", recipe.file}, {"summary", recipe.summary}});
  }
  return ExitCode::Done;
}

ExitCode show(Context& context, const std::string& name) {
  const std::string text = read_file(find(name).file);
  context.result["recipe"] = text;
  context.say(text);
  return ExitCode::Done;
}

// The files beside a recipe that it reads, those of folders too, relative to it.
std::vector<std::string> data_of(const std::string& file, const std::string& text) {
  const fs::path folder = fs::path(file).parent_path();
  const Recipe recipe = load_recipe_text(text, file).recipe;
  std::vector<std::string> inputs = {recipe.evaluate.prompts, recipe.evaluate.probe, recipe.prior.prompts};
  for (const auto* sources : {&recipe.data.train, &recipe.data.validation.sets})
    for (const SourceSection& source : *sources) inputs.push_back(source.path);
  std::vector<std::string> found;
  for (const std::string& input : inputs) {
    const fs::path relative = fs::path(input).lexically_relative(fs::absolute(folder));
    if (input.empty() || relative.empty() || *relative.begin() == "..") continue;
    if (fs::is_regular_file(input)) found.push_back(relative.string());
    if (!fs::is_directory(input)) continue;
    for (const auto& entry : fs::recursive_directory_iterator(input))
      if (entry.is_regular_file())
        found.push_back(entry.path().lexically_relative(fs::absolute(folder)).string());
  }
  std::sort(found.begin(), found.end());
  return found;
}

void refuse_existing(const std::string& target, const std::string& text) {
  if (!fs::exists(target) || (fs::is_regular_file(target) && read_file(target) == text)) return;
  fail("'", target, "' exists already and is not overwritten; copy the recipe into another folder");
}

ExitCode copy(Context& context, const std::string& name) {
  const BuiltinRecipe recipe = find(name);
  const std::string target = fs::path(recipe.file).filename().string();
  const std::string text = read_file(recipe.file);
  const std::vector<std::string> inputs = data_of(recipe.file, text);
  require(!fs::exists(target), "'", target, "' exists already and is not overwritten");
  const fs::path folder = fs::path(recipe.file).parent_path();
  for (const std::string& input : inputs) refuse_existing(input, read_file((folder / input).string()));
  constexpr std::size_t kNamed = 4;
  std::string beside = inputs.size() > kNamed ? cat(inputs.size(), " files of its data") : "";
  for (const std::string& input : inputs) {
    fs::create_directories(fs::path("./" + input).parent_path());
    write_file_atomically(input, read_file((folder / input).string()));
    if (inputs.size() <= kNamed) beside += cat(beside.empty() ? "" : ", ", input);
  }
  write_file_atomically(target, text);
  context.result["file"] = target;
  context.result["data"] = inputs;
  context.say(cat("copied to ", target, beside.empty() ? "" : " with " + beside,
                  "; edit it, then:  lathe train ", shell_word(target)));
  return ExitCode::Done;
}

ExitCode reference(Context& context, bool schema) {
  std::vector<ModelKeys> models;
  for (const Family* family : families()) models.push_back({family->name, "", family->keys()});
  models.push_back({"sd3", "diffusion", picture_network_keys()});
  models.push_back({"dit", "diffusion", dit_keys()});
  models.push_back({"unet2d", "diffusion", unet_keys()});
  const std::string text = schema ? recipe_json_schema(models) : recipe_reference(models);
  if (schema && context.json)
    context.result = parse_json(text, "schema");
  else
    context.result["reference"] = text;
  context.say(text);
  return ExitCode::Done;
}

}  // namespace

void add_recipes(const Command& program) {
  const Command command = program.command("recipes", "built-in recipes and the reference of every key");
  auto name = std::make_shared<std::string>();
  auto schema = std::make_shared<bool>(false);
  auto wanted = std::make_shared<NewRecipe>();
  command.runs(list);
  command.command("list", "names and what they do").runs(list);
  const Command show_command = command.command("show", "print one");
  show_command.option("NAME", *name, "a built-in recipe").required();
  show_command.runs([=](Context& context) { return show(context, *name); });
  const Command copy_command = command.command("copy", "copy one here to edit");
  copy_command.option("NAME", *name, "a built-in recipe").required();
  copy_command.runs([=](Context& context) { return copy(context, *name); });
  const Command reference_command =
      command.command("reference", "every key with its type, default and meaning");
  reference_command.flag("--json-schema", *schema, "for editors");
  reference_command.runs([=](Context& context) { return reference(context, *schema); });
  const Command new_command = command.command(
      "new", "write one for your examples, texts or pictures, and a base, after a look at both");
  new_command.option(
      "--model", wanted->model,
      "the base: a run, a Hugging Face or diffusers folder, a cached Hub id; without one: from scratch");
  new_command
      .option(
          "--data", wanted->data,
          "examples: jsonl, json, csv, tsv, or a folder of them; a file or folder of texts, or of pictures")
      .required();
  new_command.option("--output", wanted->output, "the file to write; default recipe.yaml");
  new_command
      .option("--columns", wanted->columns,
              "which column is what: prompt=QUESTION,completion=ANSWER (data.columns has all roles)")
      .separated_by(',');
  new_command.runs([=](Context& context) { return write_new_recipe(context, *wanted); });
}

}  // namespace lathe
