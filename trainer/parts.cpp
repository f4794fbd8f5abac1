#include "trainer/parts.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "data/io/file_system.h"
#include "recipes/schema/error.h"

namespace lathe {
namespace {

namespace fs = std::filesystem;

Part make_part(const LoadedRecipe& whole, std::int64_t fold, std::int64_t seed) {
  Part part{fold, seed, "", "", whole};
  Recipe& recipe = part.loaded.recipe;
  const std::int64_t folds = recipe.data.validation.folds.folds;
  std::string folder;
  if (folds > 0) {
    part.name = cat("fold ", fold, " of ", folds);
    folder = cat("fold-", fold);
  }
  if (whole.recipe.train.seeds > 1) {
    part.name += cat(part.name.empty() ? "" : ", ", "seed ", seed);
    folder += cat(folder.empty() ? "" : "-", "seed-", seed);
  }
  recipe.name += " " + folder;
  recipe.directory = whole.recipe.directory + "/parts/" + folder;
  recipe.data.validation.folds.fold = fold;
  recipe.data.split_seed = whole.recipe.data.split_seed.value_or(whole.recipe.train.seed);
  recipe.train.seed = seed;
  recipe.train.seeds = 1;
  recipe.checkpoint.keep_last = 1;
  recipe.checkpoint.resume = "auto";
  recipe.exports.clear();
  return part;
}

}  // namespace

bool has_parts(const Recipe& recipe) {
  const FoldsSection& folds = recipe.data.validation.folds;
  return recipe.train.seeds > 1 || (folds.folds > 0 && folds.fold == 0);
}

std::vector<Part> parts_of(const LoadedRecipe& loaded) {
  const FoldsSection& folds = loaded.recipe.data.validation.folds;
  const bool folded = folds.folds > 0 && folds.fold == 0;
  const std::int64_t first = loaded.recipe.train.seed;
  std::vector<Part> parts;
  for (std::int64_t seed = first; seed < first + loaded.recipe.train.seeds; ++seed) {
    if (!folded && seed == first) continue;  // the recipe's own run
    if (!folded) {
      parts.push_back(make_part(loaded, folds.fold, seed));
      parts.back().base_answers = parts.front().loaded.recipe.directory + "/base.json";
    }
    for (std::int64_t fold = 1; folded && fold <= folds.folds; ++fold) {
      parts.push_back(make_part(loaded, fold, seed));
      parts.back().base_answers =
          parts[static_cast<std::size_t>(fold - 1)].loaded.recipe.directory + "/base.json";
    }
  }
  return parts;
}

bool is_ended(const std::string& run) {
  if (!fs::exists(run + "/result.json")) return false;
  const Json result = read_json(run + "/result.json");
  return result.value("finished", false) || result.value("reason", "") == "max_minutes";
}

std::vector<PartResult> read_parts(const std::vector<Part>& parts) {
  std::vector<PartResult> results;
  for (const Part& part : parts) {
    const std::string& run = part.loaded.recipe.directory;
    require(fs::exists(run + "/answers.json"), part.name,
            ": no held-out example of it can be asked (plain texts have no "
            "question); folds and seeds compare answers");
    const Json result = read_json(run + "/result.json");
    results.push_back({part.fold, part.seed,
                       json_get<std::int64_t>(result, "best_step", run + "/result.json"),
                       json_get<std::int64_t>(result, "total_steps", run + "/result.json"),
                       held_answers_of(read_json(run + "/answers.json"), run + "/answers.json"),
                       read_json(run + "/report.json")});
  }
  return results;
}

double best_share(const std::vector<PartResult>& results) {
  std::vector<double> shares;
  for (const PartResult& part : results)
    shares.push_back(static_cast<double>(part.best_step) / static_cast<double>(part.total_steps));
  std::sort(shares.begin(), shares.end());
  const std::size_t half = shares.size() / 2;
  return shares.size() % 2 == 1 ? shares[half] : (shares[half - 1] + shares[half]) / 2;
}

std::vector<HeldAnswers> pooled(const std::vector<PartResult>& results) {
  std::vector<std::int64_t> order;
  std::vector<HeldAnswers> seeds;
  for (const PartResult& part : results) {
    const auto found = std::find(order.begin(), order.end(), part.seed);
    if (found == order.end()) {
      order.push_back(part.seed);
      seeds.push_back(part.held);
    } else {
      append(seeds[static_cast<std::size_t>(found - order.begin())], part.held);
    }
  }
  return seeds;
}

Json spread_of(const std::vector<PartResult>& results, const std::vector<std::string>& metrics) {
  Json spread = Json{{"runs", Json::array()}, {"metrics", Json::object()}};
  for (const PartResult& part : results) {
    Json run = Json{{"seed", part.seed},
                    {"examples", part.held.size()},
                    {"best_step", part.best_step},
                    {"total_steps", part.total_steps}};
    if (part.fold > 0) run["fold"] = part.fold;
    for (const std::string& name : metrics) {
      const Json& systems = part.report.at("metrics").at(name);
      for (const char* system : {"base", "few_shot", "tuned"})
        run["metrics"][name][system] = systems.at(system).at("score");
    }
    spread["runs"].push_back(run);
  }
  for (const std::string& name : metrics) {
    std::vector<double> scores;
    for (const Json& run : spread["runs"]) scores.push_back(run["metrics"][name]["tuned"].get<double>());
    double mean = 0, squares = 0;
    for (const double score : scores) mean += score / static_cast<double>(scores.size());
    for (const double score : scores) squares += (score - mean) * (score - mean);
    const auto [least, most] = std::minmax_element(scores.begin(), scores.end());
    const double sd = scores.size() > 1 ? std::sqrt(squares / static_cast<double>(scores.size() - 1)) : 0.0;
    spread["metrics"][name] = Json{{"mean", mean}, {"sd", sd}, {"min", *least}, {"max", *most}};
  }
  return spread;
}

std::int64_t held_out_prompts(const std::vector<PartResult>& results) {
  std::int64_t sum = 0;
  for (const PartResult& part : results)
    if (part.seed == results.front().seed)
      sum += part.report.value("held_out_prompts", static_cast<std::int64_t>(part.held.size()));
  return sum;
}

Json longest_memorised(const std::vector<PartResult>& results) {
  Json longest;
  for (const PartResult& part : results) {
    const Json& mine = part.report.at("memorised");
    if (longest.is_null() || mine.at("longest_characters") > longest.at("longest_characters")) longest = mine;
  }
  return longest;
}

}  // namespace lathe
