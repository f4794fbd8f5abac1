#include "trainer/question_checks.h"

#include <algorithm>

#include "data/metrics/metric.h"
#include "data/shards/prepare_examples.h"
#include "data/sources/example_split.h"
#include "trainer/evaluate/answers.h"

namespace lathe {

namespace {

bool asks(const Example& example) { return example.kind != ExampleKind::Text; }

void add_problem(LoadedRecipe& loaded, const std::string& key, const std::string& text) {
  loaded.problems.push_back({place_of(loaded.places, loaded.file, key), text});
}

// There must be as many examples as folds that can be told apart.
void look_at_folds(LoadedRecipe& loaded, const std::vector<Example>& learned) {
  const std::int64_t folds = loaded.recipe.data.validation.folds.folds;
  try {
    if (folds > 0) fold_examples(learned, static_cast<std::uint32_t>(folds), 0);
  } catch (const Error& e) {
    add_problem(loaded, "data.validation", e.what());
  }
}

// Folds and seeds compare answers, and plain texts ask nothing.
void look_at_parts(LoadedRecipe& loaded, const std::vector<Example>& learned) {
  const bool folded = loaded.recipe.data.validation.folds.folds > 0;
  if (std::any_of(learned.begin(), learned.end(), asks)) return look_at_folds(loaded, learned);
  add_problem(loaded, folded ? "data.validation" : "train.seeds",
              cat(folded ? "data.validation.folds" : "train.seeds",
                  ": folds and seeds compare answers, and plain texts have no question; use data.validation: "
                  "0.2 ",
                  folded ? "" : "and one seed ", "(their held-out loss is compared with the base's)"));
}

// Any of the training examples may be held out by a share or a fold.
void look_at_metrics(LoadedRecipe& loaded, const std::vector<Example>& held) {
  std::vector<Example> asked;
  std::copy_if(held.begin(), held.end(), std::back_inserter(asked), asks);
  const std::string lack = lack_of_choices(loaded.recipe.evaluate.metrics, asked.empty() ? held : asked);
  if (!lack.empty()) add_problem(loaded, "evaluate.metrics", "evaluate.metrics: " + lack);
}

bool wants_choices(const std::string& metric) { return find_metric(metric).predicts != Predicts::Text; }

}  // namespace

void look_at_questions(LoadedRecipe& loaded) {
  const Recipe& recipe = loaded.recipe;
  const ValidationSection& validation = recipe.data.validation;
  const auto& metrics = recipe.evaluate.metrics;
  if (recipe.task != "sft") return;
  const bool parts = validation.folds.folds > 0 || recipe.train.seeds > 1;
  const bool choices = std::any_of(metrics.begin(), metrics.end(), wants_choices);
  const bool apart = !validation.sets.empty(), drawn = validation.share > 0 || validation.folds.folds > 0;
  if (parts || (choices && drawn)) {
    const std::vector<Example> learned = read_recipe_examples(recipe.data, recipe.data.train).examples;
    if (parts) look_at_parts(loaded, learned);
    if (choices && drawn) look_at_metrics(loaded, learned);
  }
  if (choices && apart)  // the first set is the one that is asked
    look_at_metrics(loaded, read_recipe_examples(recipe.data, {validation.sets.front()}).examples);
}

}  // namespace lathe
