#include "trainer/evaluate/held_answers.h"

#include <algorithm>
#include <set>

#include "data/metrics/metric.h"
#include "recipes/schema/error.h"

namespace lathe {
namespace {

constexpr std::uint64_t kResampling = 17;  // the seed of every interval and test: fixed in advance

double mean_bytes(const std::vector<std::string>& texts) {
  double bytes = 0;
  for (const std::string& text : texts) bytes += static_cast<double>(text.size());
  return bytes / std::max(1.0, static_cast<double>(texts.size()));
}

// Shares of answers that never stop and that repeat a stretch of 8 words or more, mean length.
Json behaviour(const std::vector<Answer>& answers) {
  double endless = 0, repeating = 0, characters = 0;
  for (const Answer& answer : answers) {
    endless += answer.stopped ? 0 : 1;
    characters += static_cast<double>(answer.text.size());
    std::vector<std::string> words;
    std::string word;
    for (const char c : answer.text + " ") {
      if (c != ' ' && c != '\n' && c != '\t')
        word += c;
      else if (!word.empty())
        words.push_back(std::exchange(word, {}));
    }
    std::set<std::string> seen;
    bool again = false;
    for (std::size_t i = 0; i + 8 <= words.size(); ++i) {
      std::string run;
      for (std::size_t k = 0; k < 8; ++k) run += words[i + k] + " ";
      again = again || !seen.insert(run).second;
    }
    repeating += again ? 1 : 0;
  }
  const double n = std::max(1.0, static_cast<double>(answers.size()));
  return Json{{"never_stops", endless / n}, {"repeats", repeating / n}, {"mean_bytes", characters / n}};
}

MetricResult score(const std::string& metric, const std::vector<std::string>& answers,
                   const HeldAnswers& held) {
  return evaluate_metric(metric, answers, held.references, kResampling);
}
MetricResult score(const std::string& metric, const std::vector<Answer>& answers, const HeldAnswers& held) {
  return score(metric, predictions_of(find_metric(metric), answers), held);
}

// The tuned model's scores over all seeds: each example's is the mean of its own.
MetricResult tuned_score(const std::string& metric, const std::vector<HeldAnswers>& seeds) {
  MetricResult first = score(metric, seeds.front().tuned, seeds.front());
  if (seeds.size() == 1 || !find_metric(metric).mean) return first;
  for (std::size_t s = 1; s < seeds.size(); ++s) {
    const MetricResult more = score(metric, seeds[s].tuned, seeds[s]);
    for (std::size_t i = 0; i < first.values.size(); ++i) first.values[i] += more.values[i];
  }
  double sum = 0;
  for (double& value : first.values) sum += value /= static_cast<double>(seeds.size());
  first.score = sum / static_cast<double>(first.values.size());
  first.interval = bootstrap_interval(first.values, kResampling);
  return first;
}

Json cell(const MetricResult& result) {
  return Json{{"score", result.score}, {"low", result.interval.low}, {"high", result.interval.high}};
}

std::string verdict(const std::string& metric, const std::vector<HeldAnswers>& seeds,
                    const std::vector<Answer>& theirs) {
  const HeldAnswers& first = seeds.front();
  const Metric& found = find_metric(metric);
  if (seeds.size() == 1 || !found.mean) {
    const std::vector<std::string> ours = predictions_of(found, first.tuned),
                                   other = predictions_of(found, theirs);
    return describe(compare_systems(metric, {ours, other, first.references}, kResampling));
  }
  return describe(
      compare_paired(tuned_score(metric, seeds).values, score(metric, theirs, first).values, kResampling));
}

std::vector<std::string> strings_of(const Json& json, const char* key, const std::string& where) {
  return json_get<std::vector<std::string>>(json, key, where);
}

}  // namespace

Json answers_json(const std::vector<Answer>& answers) {
  Json list = Json::array();
  for (const Answer& answer : answers)
    list.push_back(Json{{"text", answer.text},
                        {"tokens", answer.tokens},
                        {"stopped", answer.stopped},
                        {"choice", answer.choice},
                        {"choice_per_byte", answer.choice_per_byte}});
  return list;
}

std::vector<Answer> answers_of(const Json& list, const std::string& where) {
  std::vector<Answer> answers;
  for (const Json& item : list)
    answers.push_back({json_get<std::string>(item, "text", where),
                       json_get<std::int64_t>(item, "tokens", where), json_get<bool>(item, "stopped", where),
                       json_get_or<std::string>(item, "choice", "", where),
                       json_get_or<std::string>(item, "choice_per_byte", "", where)});
  return answers;
}

Json to_json(const HeldAnswers& held) {
  return Json{{"format", "lathe-answers"},
              {"version", 1},
              {"origins", held.origins},
              {"prompts", held.prompts},
              {"references", held.references},
              {"constant", held.constant},
              {"nearest", held.nearest},
              {"base", answers_json(held.base)},
              {"few_shot", answers_json(held.few_shot)},
              {"tuned", answers_json(held.tuned)}};
}

HeldAnswers held_answers_of(const Json& json, const std::string& where) {
  HeldAnswers held;
  held.origins = strings_of(json, "origins", where);
  held.prompts = strings_of(json, "prompts", where);
  held.references = strings_of(json, "references", where);
  held.constant = strings_of(json, "constant", where);
  held.nearest = strings_of(json, "nearest", where);
  held.base = answers_of(json.at("base"), where);
  held.few_shot = answers_of(json.at("few_shot"), where);
  held.tuned = answers_of(json.at("tuned"), where);
  for (const std::size_t size :
       {held.origins.size(), held.prompts.size(), held.constant.size(), held.nearest.size(), held.base.size(),
        held.few_shot.size(), held.tuned.size()})
    require(size == held.size(), where, ": it holds answers to other questions; start over with --fresh");
  return held;
}

void append(HeldAnswers& all, const HeldAnswers& more) {
  const auto add = [](auto& to, const auto& from) { to.insert(to.end(), from.begin(), from.end()); };
  add(all.origins, more.origins);
  add(all.prompts, more.prompts);
  add(all.references, more.references);
  add(all.constant, more.constant);
  add(all.nearest, more.nearest);
  add(all.base, more.base);
  add(all.few_shot, more.few_shot);
  add(all.tuned, more.tuned);
}

Json compare_answers(const std::vector<HeldAnswers>& seeds, const std::vector<std::string>& metrics) {
  const HeldAnswers& first = seeds.front();
  for (const HeldAnswers& seed : seeds)
    require(seed.references == first.references,
            "the seeds answered different examples; start over with --fresh");
  const std::string& decides = metrics.front();
  Json report = Json{{"examples", first.size()}, {"decides", decides}};
  for (const std::string& name : metrics) {
    Json& systems = report["metrics"][name];
    systems["base"] = cell(score(name, first.base, first));
    systems["few_shot"] = cell(score(name, first.few_shot, first));
    systems["tuned"] = cell(tuned_score(name, seeds));
    systems["constant"] = cell(score(name, first.constant, first));
    systems["nearest"] = cell(score(name, first.nearest, first));
  }
  report["verdict"] = cat("tuned against base, ", decides, ": ", verdict(decides, seeds, first.base));
  report["verdict_few_shot"] =
      cat("tuned against base shown examples, ", decides, ": ", verdict(decides, seeds, first.few_shot));
  report["behaviour"] = Json{{"base", behaviour(first.base)},
                             {"few_shot", behaviour(first.few_shot)},
                             {"tuned", behaviour(first.tuned)},
                             {"wanted", {{"mean_bytes", mean_bytes(first.references)}}}};
  return report;
}

Json shown_answers(const HeldAnswers& held) {
  Json list = Json::array();
  for (std::size_t i = 0; i < held.size(); ++i)
    list.push_back(Json{{"origin", held.origins[i]},
                        {"prompt", held.prompts[i]},
                        {"reference", held.references[i]},
                        {"base", held.base[i].text},
                        {"few_shot", held.few_shot[i].text},
                        {"tuned", held.tuned[i].text}});
  return list;
}

}  // namespace lathe
