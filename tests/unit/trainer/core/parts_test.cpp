// Folds and seeds judged together, by values computed by hand.
#include "trainer/parts.h"

#include <cmath>

#include "tests/catch.h"

using namespace lathe;

namespace {

Answer said(const char* text) { return {text, 3, true}; }

HeldAnswers held(const std::vector<const char*>& tuned, const std::string& fold) {
  HeldAnswers out;
  for (std::size_t i = 0; i < tuned.size(); ++i) {
    out.origins.push_back(fold + std::to_string(i));
    out.prompts.push_back("q");
    out.references.push_back("yes");
    out.constant.push_back("yes");
    out.nearest.push_back("no");
    out.base.push_back(said("no"));
    out.few_shot.push_back(said("yes"));
    out.tuned.push_back(said(tuned[i]));
  }
  return out;
}

PartResult part(std::int64_t fold, std::int64_t seed, std::int64_t best, HeldAnswers answers) {
  PartResult out{fold, seed, best, 8, answers, compare_answers({answers}, {"exact_match"})};
  out.report["memorised"] = Json{{"longest_characters", best}};
  return out;
}

LoadedRecipe recipe(const std::string& validation, const std::string& train) {
  LoadedRecipe loaded = load_recipe_text(
      "task: sft\nname: x\ndirectory: /runs/x\nmodel: {path: base}\ndata: {train: a.jsonl, validation: " +
          validation + "}\ntrain: " + train + "\nexport: [{format: huggingface}]\n",
      "/x.yaml");
  throw_problems(loaded);
  return loaded;
}

}  // namespace

TEST_CASE("a recipe's parts are its folds with each seed, or its other seeds") {
  const auto folds = parts_of(recipe("{folds: 2}", "{seed: 7, seeds: 2}"));
  REQUIRE(folds.size() == 4);
  CHECK(folds[2].name == "fold 1 of 2, seed 8");
  const Recipe& third = folds[2].loaded.recipe;
  CHECK(third.directory == "/runs/x/parts/fold-1-seed-8");
  CHECK(third.data.validation.folds.fold == 1);
  CHECK(third.data.split_seed == 7);  // the same examples held out
  CHECK(third.train.seed == 8);
  CHECK(third.exports.empty());
  CHECK(!has_parts(third));
  CHECK(folds[3].base_answers == "/runs/x/parts/fold-2-seed-7/base.json");
  const auto seeds = parts_of(recipe("0.2", "{seed: 7, seeds: 3}"));
  REQUIRE(seeds.size() == 2);
  CHECK(seeds[1].loaded.recipe.directory == "/runs/x/parts/seed-9");
  CHECK(!has_parts(recipe("{folds: 2, fold: 1}", "{seed: 7}").recipe));
}

TEST_CASE("the run on all goes as far as the median part was best") {
  std::vector<PartResult> results;
  for (const std::int64_t best : {8, 2, 4}) results.push_back(part(1, 7, best, held({"yes"}, "a")));
  CHECK(best_share(results) == 0.5);
  results.push_back(part(1, 7, 8, held({"yes"}, "a")));
  CHECK(best_share(results) == 0.75);
  CHECK(longest_memorised(results).at("longest_characters") == 8);
}

TEST_CASE("held-out prompts are counted once, asked or not") {
  std::vector<PartResult> results = {
      part(1, 7, 8, held({"yes"}, "a")), part(2, 7, 8, held({"yes", "no"}, "b")),
      part(1, 8, 8, held({"yes"}, "a")), part(2, 8, 8, held({"yes", "no"}, "b"))};
  CHECK(held_out_prompts(results) == 3);
  results[1].report["held_out_prompts"] = 90;
  CHECK(held_out_prompts(results) == 91);
}

TEST_CASE("spread over folds and seeds") {
  const std::vector<PartResult> results = {
      part(1, 7, 8, held({"yes", "no"}, "a")), part(2, 7, 8, held({"yes", "yes"}, "b")),
      part(1, 8, 8, held({"yes", "yes"}, "a")), part(2, 8, 8, held({"no", "no"}, "b"))};
  const Json exact = spread_of(results, {"exact_match"}).at("metrics").at("exact_match");
  CHECK(exact.at("mean") == 0.625);  // of 0.5, 1, 1, 0
  CHECK(exact.at("min") == 0.0);
  CHECK(exact.at("max") == 1.0);
  CHECK(std::abs(exact.at("sd").get<double>() - std::sqrt((0.015625 + 2 * 0.140625 + 0.390625) / 3)) < 1e-12);

  const std::vector<HeldAnswers> seeds = pooled(results);
  REQUIRE(seeds.size() == 2);
  CHECK(seeds[1].origins == std::vector<std::string>{"a0", "a1", "b0", "b1"});
  const Json report = compare_answers(seeds, {"exact_match"});
  CHECK(report.at("examples") == 4);  // each once, by the mean over seeds: 1, 0.5, 0.5, 0.5
  CHECK(report.at("metrics").at("exact_match").at("tuned").at("score") == 0.625);
  CHECK(report.at("metrics").at("exact_match").at("base").at("score") == 0.0);
  CHECK(report.at("verdict").get<std::string>().find("n = 4") != std::string::npos);
}

TEST_CASE("answers are read back as they were written, and refused when they do not belong together") {
  const HeldAnswers one = held({"yes", "no"}, "a");
  CHECK(to_json(held_answers_of(to_json(one), "x")) == to_json(one));
  Json broken = to_json(one);
  broken["base"].erase(0);
  CHECK_THROWS_WITH(held_answers_of(broken, "x"), lathe::testing::contains_text("other questions"));
  CHECK_THROWS_AS(compare_answers({one, held({"yes"}, "a")}, {"exact_match"}), Error);
}

TEST_CASE("how answers behave: shares that never stop and that repeat eight words, mean lengths") {
  HeldAnswers answers = held({"yes", "no", "a b c d e f g h", "a b c d e f g h a b c d e f g h"}, "f");
  answers.tuned[1].stopped = false;
  answers.references[3] = "certainly";
  const Json behaviour = compare_answers({answers}, {"exact_match"}).at("behaviour");
  CHECK(behaviour.at("tuned") ==
        Json{{"never_stops", 0.25}, {"repeats", 0.25}, {"mean_bytes", (3 + 2 + 15 + 31) / 4.0}});
  CHECK(behaviour.at("base") == Json{{"never_stops", 0.0}, {"repeats", 0.0}, {"mean_bytes", 2.0}});
  CHECK(behaviour.at("wanted") == Json{{"mean_bytes", (3 + 3 + 3 + 9) / 4.0}});
}
