#include "trainer/checks.h"

#include <algorithm>
#include <filesystem>
#include <optional>

#include "data/io/line_reader.h"
#include "data/metrics/metric.h"
#include "data/sources/foreign.h"
#include "models/adapters/attach.h"
#include "recipes/schema/scalars.h"
#include "recipes/schema/yaml.h"
#include "trainer/export_targets.h"
#include "trainer/model_source.h"
#include "trainer/pictures/picture_base.h"
#include "trainer/pictures/picture_plan.h"
#include "trainer/question_checks.h"
#include "trainer/run_directory.h"
#include "trainer/tuning_rate.h"

namespace lathe {

namespace {

std::int64_t id_or_none(const std::optional<TokenId>& id) { return id ? static_cast<std::int64_t>(*id) : -1; }

// A rate that nobody named follows the base's width.
void default_rate(LoadedRecipe& loaded, const DecoderSpec& base) {
  Recipe& recipe = loaded.recipe;
  const auto source = loaded.source.find("optimizer.learning_rate");
  const bool named = source != loaded.source.end() && source->second != "default";
  if (recipe.task == "sft" && !named)
    recipe.optimizer.learning_rate = tuning_rate(base.hidden_size, !recipe.adapter.kind.empty());
}

// What only the base tells of `adapter`: which layers there are, and the rank that their matrices can have.
void look_at_adapter(LoadedRecipe& loaded, const DecoderSpec& base) {
  const AdapterSection& adapter = loaded.recipe.adapter;
  if (adapter.kind.empty()) return;
  const auto problem = [&](const char* key, const std::string& text) {
    loaded.problems.push_back({place_of(loaded.places, loaded.file, key), text});
  };
  std::vector<AdapterSite> sites;
  const ParameterInfo* smallest = nullptr;
  const auto most = [](const ParameterInfo& matrix) { return std::min(matrix.shape[0], matrix.shape[1]); };
  const std::vector<ParameterInfo> parameters = decoder_parameters(base);
  for (const ParameterInfo& each : parameters) {
    if (each.shape.size() != 2 || each.name.find("layers.") == std::string::npos) continue;
    sites.push_back({each.name.substr(0, each.name.rfind('.'))});
    if (is_adapter_target(sites.back(), adapter.targets) && (!smallest || most(each) < most(*smallest)))
      smallest = &each;
  }
  try {
    check_adapter_targets(sites, adapter.targets);
  } catch (const Error& e) {
    problem("adapter.targets", e.what());
  }
  if (smallest && adapter.rank > most(*smallest))
    problem("adapter.rank",
            cat("'adapter.rank' is ", adapter.rank, ", and the base's '", smallest->name, "' is ",
                smallest->shape[0], " x ", smallest->shape[1], ", of rank ", most(*smallest),
                " at most; lower it, or leave that layer out of adapter.targets"));
}

// Files and folders that a recipe names are looked for before any work, each told at its key. A base may be
// the Hub's name of one: resolve_model tells.
void look_for_inputs(LoadedRecipe& loaded) {
  const Recipe& recipe = loaded.recipe;
  const auto look = [&](const std::string& key, const std::string& path) {
    std::error_code error;
    if (path.empty() || std::filesystem::exists(path, error)) return;
    const auto fetch = fetch_command(path);
    loaded.problems.push_back({place_of(loaded.places, loaded.file, key),
                               cat("'", key, "' names '", path, "', ",
                                   fetch ? "and only local files are read; fetch it first with: " + *fetch
                                         : "which does not exist")});
  };
  for (std::size_t i = 0; i < recipe.data.train.size(); ++i)
    look(cat("data.train[", i, "].path"), recipe.data.train[i].path);
  const auto& sets = recipe.data.validation.sets;
  for (std::size_t i = 0; i < sets.size(); ++i) look(cat("data.validation[", i, "].path"), sets[i].path);
  look("tokenizer.path", recipe.tokenizer.path);
  const auto read = [&](const std::string& key, const std::string& path) {
    look(key, path);
    if (path.empty() || !std::filesystem::is_regular_file(path)) return;
    try {
      filled_lines(path);
    } catch (const Error& e) {
      loaded.problems.push_back({place_of(loaded.places, loaded.file, key), e.what()});
    }
  };
  read("evaluate.prompts", recipe.evaluate.prompts);
  look("evaluate.probe", recipe.evaluate.probe);
  read("prior.prompts", recipe.prior.prompts);
}

// Metrics by their names: which there are stands in data/metrics.
void look_for_metrics(LoadedRecipe& loaded) {
  std::vector<std::string> known;
  for (const Metric& metric : metrics()) known.emplace_back(metric.name);
  for (const std::string& name : loaded.recipe.evaluate.metrics) {
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    loaded.problems.push_back(
        {place_of(loaded.places, loaded.file, "evaluate.metrics"),
         cat("'evaluate.metrics' wants ", one_of(known), ", found '", name, "'", did_you_mean(name, known))});
  }
}

ModelPlan plan_from_base(const std::string& base) {
  const ModelSource source = resolve_model(base);
  ModelPlan plan;
  plan.config = read_json(source.folder + "/config.json");
  plan.family = &family_of_config(plan.config, source.folder + "/config.json");
  plan.spec = plan.family->describe(plan.config, source.folder + "/config.json");
  if (const std::string path = source.folder + "/generation_config.json"; std::filesystem::exists(path))
    plan.generation_config = read_json(path);
  return plan;
}

// Of a decoder whose folder is on this machine; whoever loads it tells what is wrong with it.
std::optional<ModelPlan> plan_of_base(const Recipe& recipe) {
  if (recipe.model.path.empty() || recipe.task == "diffusion") return std::nullopt;
  try {
    return plan_from_base(recipe.model.path);
  } catch (const Error&) {
    return std::nullopt;
  }
}

}  // namespace

ModelPlan plan_model(const Recipe& recipe, std::int64_t vocab_size, const SpecialTokens& special,
                     std::vector<RecipeProblem>& problems) {
  if (!recipe.model.path.empty()) return plan_from_base(recipe.model.path);
  ModelPlan plan;
  plan.family = &family_by_name(recipe.model.family);
  FamilyInput input;
  input.section = &recipe.model.config;
  input.size = recipe.model.size;
  input.vocab_size = vocab_size;
  input.sequence_length = recipe.data.sequence_length;
  input.bos = id_or_none(special.bos);
  input.eos = id_or_none(special.eos);
  input.pad = id_or_none(special.pad);
  const std::size_t before = problems.size();
  plan.config = plan.family->from_recipe(input, problems);
  if (problems.size() == before) plan.spec = plan.family->describe(plan.config, "the recipe's model");
  return plan;
}

ModelPlan plan_model(const Recipe& recipe, const Tokenizer& tokenizer) {
  std::vector<RecipeProblem> problems;
  const auto ids = static_cast<std::int64_t>(tokenizer.vocab_size());
  ModelPlan plan = plan_model(recipe, ids, tokenizer.special(), problems);
  for (const RecipeProblem& problem : problems) {
    const std::string place = place_text(problem.place);
    fail_usage(place, place.empty() ? "" : ": ", problem.text);
  }
  plan.added = static_cast<std::int64_t>(recipe.tokenizer.add_tokens.size() +
                                         recipe.tokenizer.add_special_tokens.size());
  if (recipe.model.path.empty() || !recipe.tokenizer.train.empty())
    plan.added = 0;  // no base whose rows stay
  plan.first_added = ids - plan.added;
  if (plan.added > 0 && ids > plan.spec.vocab_size) {  // grow_vocabulary makes the rows
    plan.config["vocab_size"] = ids;
    plan.spec = plan.family->describe(plan.config, "the grown config.json");
  }
  require(ids <= plan.spec.vocab_size, "the tokenizer has ", tokenizer.vocab_size(),
          " ids and the model's vocabulary ", plan.spec.vocab_size,
          "; use the tokenizer that belongs to the model");
  return plan;
}

LoadedRecipe checked_recipe(const std::string& path, const std::vector<std::string>& overrides) {
  LoadedRecipe loaded = load_recipe(path, overrides);
  follow_moved_run(loaded);
  const Recipe& recipe = loaded.recipe;
  look_for_inputs(loaded);
  look_for_metrics(loaded);
  const bool known_family = recipe.model.path.empty() && !recipe.model.family.empty();
  std::optional<ModelPlan> plan = plan_of_base(recipe);
  if (known_family) {
    const Place section = place_of(loaded.places, loaded.file, "model");
    std::vector<RecipeProblem> problems;
    try {
      if (recipe.task == "diffusion")
        plan_picture_model(recipe, problems);
      else
        plan = plan_model(recipe, recipe.tokenizer.vocab_size, {}, problems);
    } catch (const Error& e) {
      problems.push_back({section, e.what()});
    }
    if (!problems.empty()) plan.reset();
    for (RecipeProblem& problem : problems) {  // of what is missing
      if (problem.place.file.empty() && problem.place.line == 0) problem.place = section;
      loaded.problems.push_back(std::move(problem));
    }
  }
  check_picture_base(loaded);
  const bool based = plan && !recipe.model.path.empty();
  if (based) look_at_adapter(loaded, plan->spec);
  look_at_exports(loaded, plan ? &*plan : nullptr);
  if (loaded.problems.empty()) look_at_questions(loaded);
  throw_problems(loaded);
  if (based) default_rate(loaded, plan->spec);
  return loaded;
}

}  // namespace lathe
