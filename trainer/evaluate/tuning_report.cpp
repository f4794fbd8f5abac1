#include "trainer/evaluate/tuning_report.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "data/metrics/metric.h"
#include "data/metrics/overlap.h"
#include "data/shards/prepare_examples.h"
#include "data/sources/example_text.h"
#include "trainer/evaluate/answers.h"
#include "trainer/evaluate/evaluate.h"
#include "trainer/evaluate/probe_text.h"
#include "trainer/model_source.h"

namespace lathe {
namespace {

constexpr std::size_t kMostAsked = 64, kShown = 4;

std::vector<Example> asked_examples(const Session& session) {
  std::vector<Example> examples;
  if (!session.data.tuning || session.data.tuning->validation.empty()) return examples;
  for (const Example& example : session.data.tuning->validation.front()) {
    if (example.kind != ExampleKind::Text && examples.size() < kMostAsked) examples.push_back(example);
  }
  return examples;
}

std::vector<std::string> references_of(const std::vector<Example>& examples) {
  std::vector<std::string> references;
  for (const Example& example : examples) references.push_back(answer_text(example));
  return references;
}

Json answers_json(const std::vector<Answer>& answers) {
  Json list = Json::array();
  for (const Answer& answer : answers)
    list.push_back(Json{{"text", answer.text}, {"tokens", answer.tokens}, {"stopped", answer.stopped}});
  return list;
}

std::vector<Answer> answers_of(const Json& list, const std::string& where) {
  std::vector<Answer> answers;
  for (const Json& item : list)
    answers.push_back({json_get<std::string>(item, "text", where), json_get<std::int64_t>(item, "tokens", where),
                       json_get<bool>(item, "stopped", where)});
  return answers;
}

std::vector<std::string> texts_of(const std::vector<Answer>& answers) {
  std::vector<std::string> texts;
  for (const Answer& answer : answers) texts.push_back(answer.text);
  return texts;
}

double probe_loss(Session& session) {
  const std::string& path = session.recipe().evaluate.probe;
  const std::string text = path.empty() ? std::string(kProbeText) : read_file(path, std::size_t{4} << 20);
  const std::int64_t context = std::min<std::int64_t>(session.plan.spec.max_positions, 1024);
  return evaluate_text(*session.model, *session.data.tokenizer, text, context).loss;
}

std::vector<Answer> ask(Session& session, const std::vector<Example>& examples, std::vector<Example> shown) {
  AnswerOptions options;
  options.max_tokens = std::min(answer_limit(*session.data.tokenizer, examples), session.plan.spec.max_positions / 2);
  options.shown = std::move(shown);
  return answer_examples(*session.model, *session.data.tokenizer, session.data.tuning->format, examples, options);
}

std::vector<Example> shown_examples(const Session& session) {
  const std::vector<Example>& train = session.data.tuning->train;
  return {train.begin(), train.begin() + static_cast<std::ptrdiff_t>(std::min(kShown, train.size()))};
}

// The answers of systems that know nothing: the commonest training answer, and that of the training question most like
// the asked one. A tuned model that does not beat them has learned nothing that depends on the input.
std::map<std::string, std::vector<std::string>> trivial_answers(const Session& session, const std::vector<Example>& asked) {
  std::map<std::string, std::size_t> counts;
  const std::vector<Example>& train = session.data.tuning->train;
  for (const Example& example : train) counts[answer_text(example)] += 1;
  const auto most = std::max_element(counts.begin(), counts.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  std::map<std::string, std::vector<std::string>> answers;
  answers["constant"].assign(asked.size(), most->first);
  const Metric& near = find_metric("chrf");
  for (const Example& question : asked) {
    double best = -1;
    std::string answer;
    for (std::size_t i = 0; i < std::min<std::size_t>(train.size(), 512); ++i) {
      const double score = near.one(asked_text(question), asked_text(train[i]));
      if (score > best) best = score, answer = answer_text(train[i]);
    }
    answers["nearest"].push_back(answer);
  }
  return answers;
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
      if (c != ' ' && c != '\n' && c != '\t') word += c;
      else if (!word.empty()) words.push_back(std::exchange(word, {}));
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

Json memorised(const Session& session, const std::vector<Answer>& answers) {
  std::vector<std::string> texts;
  for (const Example& example : session.data.tuning->train) texts.push_back(answer_text(example));
  const VerbatimIndex index(texts);
  Overlap longest;
  for (const Answer& answer : answers) {
    const Overlap overlap = index.measure(answer.text);
    if (overlap.characters > longest.characters) longest = overlap;
  }
  return Json{{"longest_characters", longest.characters}, {"longest_words", longest.words}, {"text", longest.text}};
}

void add_metrics(Json& report, const std::string& system, const std::vector<std::string>& answers,
                 const std::vector<std::string>& references, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    const MetricResult result = evaluate_metric(name, answers, references, 17);
    report["metrics"][name][system] =
        Json{{"score", result.score}, {"low", result.interval.low}, {"high", result.interval.high}};
  }
}

void write_csv(const std::string& run) {
  std::string train = "step_number,epoch_number,training_loss,perplexity\n", validation = "step_number,validation_loss,perplexity\n";
  std::string line, text = read_file(run + "/metrics.jsonl", std::size_t{1} << 30);
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const Json record = parse_json(text.substr(begin, end - begin), run + "/metrics.jsonl");
    begin = end + 1;
    if (record.contains("learning_rate"))
      train += cat(record.value("step", 0), ",,", record.value("loss", 0.0), ",", std::exp(record.value("loss", 0.0)), "\n");
    else if (record.contains("validation_loss"))
      validation += cat(record.value("step", 0), ",", record.value("validation_loss", 0.0), ",",
                        std::exp(record.value("validation_loss", 0.0)), "\n");
  }
  write_file_atomically(run + "/step_wise_training_metrics.csv", train);
  write_file_atomically(run + "/validation_metrics.csv", validation);
}

}  // namespace

DataReport tuning_data_report(const Recipe& recipe, const PreparedData& data) {
  const TuningData& tuning = *data.tuning;
  const LossOn loss_on = parse_loss_on(recipe.data.loss_on);
  std::vector<Example> held;
  for (const auto& set : tuning.validation) held.insert(held.end(), set.begin(), set.end());
  return data_report({tuning.train, held,
                      [&](const Example& example) {
                        return render_example(example, *data.tokenizer, tuning.format, loss_on).ids.size() - 1;   // inputs
                      },
                      static_cast<std::size_t>(recipe.data.sequence_length)});
}

std::vector<std::string> tuning_metrics(const Recipe& recipe) {
  if (recipe.evaluate.metrics.empty()) return {"exact_match", "chrf"};
  return recipe.evaluate.metrics;
}

void measure_base(Session& session, const Say& say) {
  const std::vector<Example> examples = asked_examples(session);
  const std::string path = session.run.path + "/base.json";
  if (examples.empty() || !session.leader() || std::filesystem::exists(path)) return;
  say(cat("asking the base ", examples.size(), " held-out prompts, alone and shown ", shown_examples(session).size(), " examples"));
  Json base = Json{{"probe_loss", probe_loss(session)}};
  base["answers"] = answers_json(ask(session, examples, {}));
  base["few_shot"] = answers_json(ask(session, examples, shown_examples(session)));
  write_file_atomically(path, base.dump(1) + "\n");
}

Json make_tuning_report(Session& session, const Say& say) {
  const std::vector<Example> examples = asked_examples(session);
  const std::string path = session.run.path + "/base.json";
  if (!session.data.tuning) return nullptr;
  if (std::filesystem::exists(session.run.path + "/metrics.jsonl")) write_csv(session.run.path);
  if (examples.empty() || !std::filesystem::exists(path)) return nullptr;
  const ModelSource best = resolve_model(session.run.path);
  load_checkpoint(best.folder, session.checkpoint_parts(), session.parameters, *session.optimizer);
  say(cat("asking the tuned model (step ", best.step, ") the same"));
  const Json base = read_json(path);
  const std::vector<Answer> alone = answers_of(base.at("answers"), path), few_shot = answers_of(base.at("few_shot"), path);
  const std::vector<Answer> tuned = ask(session, examples, {});
  require(alone.size() == examples.size() && few_shot.size() == examples.size(), path,
          ": it holds answers to other questions; start over with --fresh");
  const std::vector<std::string> references = references_of(examples), names = tuning_metrics(session.recipe());
  Json report = Json{{"format", "lathe-tuning-report"}, {"version", 1}, {"step", best.step}, {"examples", examples.size()},
                     {"decides", names.front()}};
  const std::string& decides = names.front();
  const auto verdict = [&](const std::vector<Answer>& theirs) {
    return describe(compare_systems(decides, {texts_of(tuned), texts_of(theirs), references}, 17));
  };
  add_metrics(report, "base", texts_of(alone), references, names);
  add_metrics(report, "few_shot", texts_of(few_shot), references, names);
  add_metrics(report, "tuned", texts_of(tuned), references, names);
  for (const auto& [name, answers] : trivial_answers(session, examples)) add_metrics(report, name, answers, references, names);
  report["verdict"] = cat("tuned against base, ", decides, ": ", verdict(alone));
  report["verdict_few_shot"] = cat("tuned against base shown examples, ", decides, ": ", verdict(few_shot));
  report["behaviour"] = Json{{"base", behaviour(alone)}, {"few_shot", behaviour(few_shot)}, {"tuned", behaviour(tuned)}};
  report["memorised"] = memorised(session, tuned);
  const double before = json_get<double>(base, "probe_loss", path), after = probe_loss(session);
  report["general_text"] = Json{{"base_loss", before}, {"tuned_loss", after}, {"change", before > 0 ? after / before - 1 : 0}};
  if (session.recipe().report.examples != "none") {
    report["answers"] = Json::array();
    for (std::size_t i = 0; i < examples.size(); ++i)
      report["answers"].push_back(Json{{"origin", examples[i].origin}, {"prompt", asked_text(examples[i])},
                                       {"reference", references[i]}, {"base", alone[i].text},
                                       {"few_shot", few_shot[i].text}, {"tuned", tuned[i].text}});
  } else {
    report["memorised"].erase("text");
  }
  write_file_atomically(session.run.path + "/report.json", report.dump(1) + "\n");
  return report;
}

}  // namespace lathe
