#include "recipes/schema/load.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <set>

#include "recipes/schema/aliases.h"
#include "recipes/schema/builtin.h"
#include "recipes/schema/describe.h"
#include "recipes/schema/error.h"
#include "recipes/schema/inputs.h"
#include "recipes/schema/overrides.h"
#include "recipes/schema/reader.h"
#include "recipes/schema/validate.h"

namespace lathe {

namespace fs = std::filesystem;

namespace {

std::string read_text(const std::string& file) {
  std::error_code error;
  if (fs::is_directory(file, error)) fail_usage(file, ": a folder; a recipe is a YAML file");
  std::ifstream in(file, std::ios::binary);
  if (!in) fail_usage(file, ": cannot be read");
  std::string text(kMaxRecipeBytes + 4,
                   '\0');  // one over the limit (and a byte-order mark) is enough to refuse it
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(in.gcount()));
  return text;
}

// A document with our keys and absolute inputs; nullopt when it is no section of keys (reported).
std::optional<Yaml> read_document(const std::string& text, const std::string& file, LoadedRecipe& loaded) {
  auto document = parse_yaml(text, file, loaded.problems);
  if (!document) return std::nullopt;
  if (document->kind != Yaml::Kind::Map) {
    const bool empty = document->kind == Yaml::Kind::Null;
    loaded.problems.push_back(
        {document->place, empty ? "the recipe is empty" : "a recipe is a section of keys (key: value)"});
    return std::nullopt;
  }
  rename_aliases(*document, loaded.problems, loaded.notes);
  const fs::path folder = fs::path(file).parent_path();
  resolve_inputs(*document, fs::absolute(folder.empty() ? fs::path(".") : folder).string());
  return document;
}

void drop(Yaml& document, const std::string& key) {
  std::erase_if(document.entries, [&](const YamlEntry& entry) { return entry.key == key; });
}

// The recipe named by `base:` with this one on top. Its name and directory stay its own: two runs, two
// folders.
void inherit(Yaml& recipe, const std::string& file, LoadedRecipe& loaded) {
  const YamlEntry* entry = recipe.find("base");
  if (!entry || entry->value.kind != Yaml::Kind::Scalar || entry->value.text.empty()) return;
  const Place place = entry->value.place;
  const std::string folder = fs::path(file).parent_path().string();
  const std::string written = entry->value.text;
  std::string base_file = (fs::path(folder) / written).lexically_normal().string();
  if (written.starts_with("~")) base_file = absolute_path(written, folder);
  std::error_code error;
  if (!fs::is_regular_file(base_file, error)) {
    loaded.problems.push_back({place, cat("'base' names '", base_file, "', which is no file")});
    return;
  }
  auto base = read_document(read_text(base_file), base_file, loaded);
  if (!base) return;
  if (const YamlEntry* next = base->find("base")) {
    loaded.problems.push_back({next->key_place, "a base cannot have a 'base' of its own: one level only"});
  }
  drop(*base, "base");
  drop(*base, "name");
  drop(*base, "directory");
  merge_documents(*base, std::move(recipe));
  recipe = std::move(*base);
}

// A few dozen examples want other numbers than a corpus: small batches, no decay to speak of, and a rate ten
// times higher for adapters than for all weights.
void tuning_defaults(Recipe& recipe, LoadedRecipe& loaded) {
  const auto unset = [&](const std::string& key) {
    const auto found = loaded.source.find(key);
    return found == loaded.source.end() || found->second == "default";
  };
  if (unset("optimizer.learning_rate"))
    recipe.optimizer.learning_rate = recipe.adapter.kind.empty() ? 1.8e-5 : 2e-4;
  if (unset("optimizer.weight_decay")) recipe.optimizer.weight_decay = 0.01;
  if (unset("optimizer.beta2")) recipe.optimizer.beta2 = 0.999;
  if (unset("schedule.warmup_steps"))
    recipe.schedule.warmup_steps = std::clamp<std::int64_t>(recipe.train.max_steps.value_or(6) - 1, 0, 5);
  if (unset("data.packing")) recipe.data.packing = false;
  if (unset("data.sequence_length")) recipe.data.sequence_length = 2048;
  if (unset("train.global_batch_size")) recipe.train.global_batch_size = 4;
}

void resolve_defaults(Recipe& recipe, const std::string& file, LoadedRecipe& loaded) {
  const std::string here = fs::current_path().string();
  const auto derived = [&](const std::string& key, std::string& value, const std::string& otherwise) {
    if (!value.empty()) return;
    value = otherwise;
    loaded.source[key] = "default";
  };
  derived("name", recipe.name, fs::path(file).stem().string());
  derived("directory", recipe.directory, "runs/" + recipe.name);
  derived("data.overlength", recipe.data.overlength, recipe.task == "pretrain" ? "split" : "error");
  if (recipe.task == "sft") tuning_defaults(recipe, loaded);
  auto& sets = recipe.data.validation.sets;
  std::set<std::string> names = {"train"};
  for (std::size_t i = 0; i < sets.size(); ++i) {
    const fs::path path = sets[i].path;
    const std::string stem = path.stem().string();
    derived(cat("data.validation[", i, "].name"), sets[i].name,
            names.contains(stem) ? cat(path.parent_path().filename().string(), "_", stem) : stem);
    names.insert(sets[i].name);
  }
  recipe.directory = absolute_path(recipe.directory, here);
  recipe.data.cache = absolute_path(recipe.data.cache, here);
  for (ExportSection& item : recipe.exports) item.directory = absolute_path(item.directory, here);
}

// Tuning evaluates once an epoch when nothing is said (0); the word says the same.
void read_epoch_word(Yaml& document) {
  const YamlEntry* task = document.find("task");
  YamlEntry* section = document.find("evaluate");
  YamlEntry* every = section ? section->value.find("every") : nullptr;
  if (!task || task->value.text != "sft" || !every || every->value.text != "epoch") return;
  every->value.text = "0";
}

void decode(const Yaml& document, const std::string& file, LoadedRecipe& loaded) {
  ReadContext context;
  context.all_keys = &all_recipe_keys();
  Recipe& recipe = loaded.recipe;
  SectionReader reader(context, "", &document);
  Recipe::fields(reader, recipe);
  reader.finish();
  loaded.source = std::move(context.source);
  loaded.places = context.places;
  resolve_defaults(recipe, file, loaded);
  validate_recipe(recipe, file, context, loaded.notes);
  loaded.problems.insert(loaded.problems.end(), context.problems.begin(), context.problems.end());
}

bool earlier(const RecipeProblem& a, const RecipeProblem& b) {
  const bool a_set = a.place.line == 0, b_set = b.place.line == 0;
  if (a_set != b_set) return b_set;
  if (a.place.file != b.place.file) {
    return std::make_pair(a.place.file.size(), a.place.file) <
           std::make_pair(b.place.file.size(), b.place.file);
  }
  return std::make_pair(a.place.line, a.place.column) < std::make_pair(b.place.line, b.place.column);
}

}  // namespace

LoadedRecipe load_recipe_text(const std::string& text, const std::string& file,
                              const std::vector<std::string>& overrides) {
  LoadedRecipe loaded;
  loaded.file = file;
  auto document = read_document(text, file, loaded);
  if (document) {
    inherit(*document, file, loaded);
    for (std::size_t i = 0; i < overrides.size(); ++i) {
      apply_override(*document, overrides[i], static_cast<int>(i) + 1, loaded.problems, loaded.notes);
    }
    apply_accumulation(*document, loaded.problems, loaded.notes);
    read_epoch_word(*document);
    decode(*document, file, loaded);
  }
  std::stable_sort(loaded.problems.begin(), loaded.problems.end(), earlier);
  return loaded;
}

LoadedRecipe load_recipe(const std::string& path, const std::vector<std::string>& overrides) {
  std::error_code error;
  const auto builtin = find_builtin(path);
  const bool file = fs::exists(path, error) && !(builtin && fs::is_directory(path, error));
  if (file) return load_recipe_text(read_text(path), path, overrides);
  if (!builtin) {
    std::vector<std::string> names;
    for (const BuiltinRecipe& recipe : builtin_recipes()) names.push_back(recipe.name);
    fail_usage(path, ": no such file, and no built-in recipe of that name", did_you_mean(path, names),
               "; 'lathe recipes list' shows them");
  }
  LoadedRecipe loaded = load_recipe_text(read_text(*builtin), *builtin, overrides);
  loaded.file.clear();
  return loaded;
}

void throw_problems(const LoadedRecipe& loaded) {
  if (loaded.problems.empty()) return;
  std::vector<RecipeProblem> problems = loaded.problems;
  std::stable_sort(problems.begin(), problems.end(), earlier);
  std::string text;
  for (const RecipeProblem& problem : problems) {
    text += cat(text.empty() ? "" : "\n", place_text(problem.place), ": ", problem.text);
  }
  throw Error(text, ExitCode::Usage);
}

}  // namespace lathe
