#include "trainer/text/tuning_report.h"

#include <algorithm>
#include <filesystem>
#include <map>

#include "data/io/line_reader.h"
#include "data/metrics/metric.h"
#include "data/metrics/overlap.h"
#include "data/shards/prepare_examples.h"
#include "data/sources/example_text.h"
#include "trainer/evaluate/answers.h"
#include "trainer/evaluate/evaluate.h"
#include "trainer/evaluate/probe_text.h"
#include "trainer/model_source.h"
#include "trainer/report/bedrock_csv.h"
#include "trainer/report/tuning.h"

namespace lathe {
namespace {

constexpr std::size_t kMostAsked = 64, kShown = 4;

std::vector<Example> asked_examples(const TextTask& task) {
  std::vector<Example> examples;
  if (!task.data.tuning || task.data.tuning->validation.empty()) return examples;
  for (const Example& example : task.data.tuning->validation.front()) {
    if (example.kind != ExampleKind::Text && examples.size() < kMostAsked) examples.push_back(example);
  }
  return examples;
}

std::vector<std::string> references_of(const std::vector<Example>& examples) {
  std::vector<std::string> references;
  for (const Example& example : examples) references.push_back(answer_text(example));
  return references;
}

double probe_loss(const Session& session, const TextTask& task) {
  const std::string& path = session.recipe().evaluate.probe;
  const std::string text = path.empty() ? std::string(kProbeText) : read_file(path, std::size_t{4} << 20);
  const std::int64_t context = std::min<std::int64_t>(task.plan.spec.max_positions, 1024);
  return evaluate_text(*task.model, *task.data.tokenizer, text, context).loss;
}

std::vector<Answer> ask(const TextTask& task, const std::vector<Example>& examples, std::vector<Example> shown) {
  AnswerOptions options;
  options.max_tokens = std::min(answer_limit(*task.data.tokenizer, examples), task.plan.spec.max_positions / 2);
  options.shown = std::move(shown);
  return answer_examples(*task.model, *task.data.tokenizer, task.data.tuning->format, examples, options);
}

std::vector<Example> shown_examples(const TextTask& task) {
  const std::vector<Example>& train = task.data.tuning->train;
  return {train.begin(), train.begin() + static_cast<std::ptrdiff_t>(std::min(kShown, train.size()))};
}

// The answers of systems that know nothing: the commonest training answer, and that of the training question most like
// the asked one. A tuned model that does not beat them has learned nothing that depends on the input.
std::map<std::string, std::vector<std::string>> trivial_answers(const TextTask& task, const std::vector<Example>& asked) {
  std::map<std::string, std::size_t> counts;
  const std::vector<Example>& train = task.data.tuning->train;
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

Json memorised(const TextTask& task, const std::vector<Answer>& answers) {
  std::vector<std::string> texts;
  for (const Example& example : task.data.tuning->train) texts.push_back(answer_text(example));
  const VerbatimIndex index(texts);
  Overlap longest;
  for (const Answer& answer : answers) {
    const Overlap overlap = index.measure(answer.text);
    if (overlap.characters > longest.characters) longest = overlap;
  }
  return Json{{"longest_characters", longest.characters}, {"longest_words", longest.words}, {"text", longest.text}};
}

}  // namespace

DataReport tuning_data_report(const Recipe& recipe, const PreparedData& data) {
  const TuningData& tuning = *data.tuning;
  const LossOn loss_on = parse_loss_on(recipe.data.loss_on);
  std::vector<Example> held;
  for (const auto& set : tuning.validation) held.insert(held.end(), set.begin(), set.end());
  return data_report({tuning.train, held,
                      [&](const Example& example) {
                        const TokenExample seen = render_example(example, *data.tokenizer, tuning.format, loss_on);
                        return Measured(seen.ids.size() - 1, seen.merged, seen.apart);   // inputs
                      },
                      static_cast<std::size_t>(recipe.data.sequence_length)});
}

std::vector<std::string> tuning_metrics(const Recipe& recipe) {
  if (recipe.evaluate.metrics.empty()) return {"exact_match", "chrf"};
  return recipe.evaluate.metrics;
}

void measure_base(Session& session, const TextTask& task, const Say& say) {
  const std::vector<Example> examples = asked_examples(task);
  const std::string path = session.run.path + "/base.json", &other = session.options.base_answers;
  const bool wanted = !examples.empty() || (task.data.tuning && has_parts(session.recipe()));
  if (!wanted || std::filesystem::exists(path)) return;
  if (!other.empty() && other != path && std::filesystem::exists(other))
    return write_file_atomically(path, read_file(other));
  require_choices(tuning_metrics(session.recipe()), examples);
  Json base = Json{{"probe_loss", probe_loss(session, task)}};
  if (!examples.empty())
    say(cat("asking the base ", examples.size(), " held-out prompts, alone and shown ", shown_examples(task).size(), " examples"));
  base["answers"] = answers_json(ask(task, examples, {}));
  base["few_shot"] = answers_json(ask(task, examples, shown_examples(task)));
  write_file_atomically(path, base.dump(1) + "\n");
}

namespace {

HeldAnswers ask_tuned(const TextTask& task, const std::vector<Example>& examples, const Json& base, const std::string& path) {
  HeldAnswers held;
  for (const Example& example : examples) {
    held.origins.push_back(example.origin);
    held.prompts.push_back(asked_text(example));
  }
  held.references = references_of(examples);
  held.base = answers_of(base.at("answers"), path);
  held.few_shot = answers_of(base.at("few_shot"), path);
  require(held.base.size() == examples.size() && held.few_shot.size() == examples.size(), path,
          ": it holds answers to other questions; start over with --fresh");
  held.tuned = ask(task, examples, {});
  for (auto& [name, answers] : trivial_answers(task, examples)) (name == "constant" ? held.constant : held.nearest) = answers;
  return held;
}

// The run's own held-out answers as one more part: that of the first seed, where seeds are many and folds are none.
PartResult own_part(const Session& session, const TextTask& task, HeldAnswers held, const std::vector<std::string>& metrics) {
  PartResult own;
  own.seed = session.recipe().train.seed;
  own.best_step = session.state.best_step;
  own.total_steps = session.total_steps;
  own.report = compare_answers({held}, metrics);
  own.report["memorised"] = memorised(task, held.tuned);
  own.held = std::move(held);
  return own;
}

// Held-out loss on the way, against the loss of training: what "too long" looks like.
Json course_of(const Session& session) {
  Json course = Json{{"best_step", session.state.best_step}, {"last_step", session.state.step}};
  LineReader lines(session.run.path + "/metrics.jsonl");
  while (const auto line = lines.next()) {
    const Json record = parse_json(*line, session.run.path + "/metrics.jsonl");
    if (record.contains("validation_loss") && record.value("set", "validation") == "validation") {
      const double loss = record.value("validation_loss", 0.0);
      if (record.value("step", 0) == 0) course["base_loss"] = loss;
      if (record.value("step", 0) == session.state.best_step) course["best_loss"] = loss;
      course["last_loss"] = loss;
    } else if (record.contains("learning_rate")) {
      course["training_loss"] = record.value("loss", 0.0);
    }
  }
  return course;
}

}  // namespace

Json make_tuning_report(Session& session, const TextTask& task, const std::vector<PartResult>& others, const Say& say) {
  const std::vector<Example> examples = asked_examples(task);
  const std::string path = session.run.path + "/base.json";
  if (!task.data.tuning) return nullptr;
  write_bedrock_csv(session.run.path, session.recipe().train.global_batch_size,
                    static_cast<std::int64_t>(task.rows_per_epoch()));
  if ((examples.empty() && others.empty()) || !std::filesystem::exists(path)) return nullptr;
  const ModelSource best = resolve_model(session.run.path);
  load_checkpoint(best.folder, *session.task, session.trained());
  const AveragesInUse averages(session.averages.get(), session.parameters);
  const Json base = read_json(path);
  const std::vector<std::string> metrics = tuning_metrics(session.recipe());
  std::vector<PartResult> parts;
  if (!examples.empty()) {
    say(cat("asking the tuned model (step ", best.step, ") the same"));
    const HeldAnswers held = ask_tuned(task, examples, base, path);
    write_file_atomically(session.run.path + "/answers.json", to_json(held).dump(1) + "\n");
    parts.push_back(own_part(session, task, held, metrics));
  }
  parts.insert(parts.end(), others.begin(), others.end());
  const std::vector<HeldAnswers> seeds = pooled(parts);
  Json report = Json{{"format", "lathe-tuning-report"}, {"version", 1}, {"step", best.step}};
  report.update(compare_answers(seeds, metrics));
  if (parts.size() > 1) report["spread"] = spread_of(parts, metrics);
  report["memorised"] = longest_memorised(parts);
  report["course"] = course_of(session);
  const double before = json_get<double>(base, "probe_loss", path), after = probe_loss(session, task);
  report["general_text"] = Json{{"base_loss", before}, {"tuned_loss", after}, {"change", before > 0 ? after / before - 1 : 0}};
  report["look"] = tuning_looks(report);
  if (session.recipe().report.examples != "none") report["answers"] = shown_answers(seeds.front());
  else report["memorised"].erase("text");
  write_file_atomically(session.run.path + "/report.json", report.dump(1) + "\n");
  return report;
}

}  // namespace lathe
