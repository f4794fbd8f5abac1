#include "trainer/text/tuning_report.h"

#include <algorithm>
#include <filesystem>
#include <map>

#include "data/metrics/metric.h"
#include "data/metrics/significance.h"
#include "data/shards/prepare_examples.h"
#include "data/sources/example_text.h"
#include "trainer/evaluate/answers.h"
#include "trainer/evaluate/followed_answers.h"
#include "trainer/evaluate/evaluate.h"
#include "trainer/evaluate/probe_text.h"
#include "trainer/model_source.h"
#include "trainer/report/bedrock_csv.h"
#include "trainer/report/course.h"
#include "trainer/report/tuning.h"
#include "trainer/text/forget_answers.h"
#include "trainer/text/recall.h"

namespace lathe {
namespace {

constexpr std::size_t kMostAsked = 64, kShown = 4;
constexpr std::uint64_t kMostRows = 256, kResampling = 0;

// A base is compared with what became of it; a model from scratch has nothing before it.
bool has_base(const Session& session, const TextTask& task) {
  return task.tuning() || !session.recipe().model.path.empty();
}

// Those that ask something; plain texts do not.
std::vector<Example> questions_in(const std::vector<Example>& examples) {
  std::vector<Example> questions;
  for (const Example& example : examples)
    if (example.kind != ExampleKind::Text) questions.push_back(example);
  return questions;
}

// Without those that are training examples too: what they would measure is memory.
std::vector<Example> held_questions(const PreparedData& data) {
  if (!data.tuning || data.tuning->validation.empty()) return {};
  const std::vector<Example>& held = data.tuning->validation.front();
  const std::vector<bool> leaked = leaked_examples(data.tuning->train, held);
  std::vector<Example> kept;
  for (std::size_t i = 0; i < held.size(); ++i)
    if (!leaked[i]) kept.push_back(held[i]);
  return questions_in(kept);
}

std::size_t leaked_count(const PreparedData& data) {
  if (!data.tuning || data.tuning->validation.empty()) return 0;
  const std::vector<bool> leaked = leaked_examples(data.tuning->train, data.tuning->validation.front());
  return static_cast<std::size_t>(std::count(leaked.begin(), leaked.end(), true));
}

// Errors of the data report, which is said before training and read by nobody afterwards.
std::vector<std::string> data_errors(const Session& session, const TextTask& task) {
  std::vector<std::string> lines;
  if (!task.tuning()) return lines;
  for (const Finding& finding : tuning_data_report(session.recipe(), task.data).findings)
    if (finding.severity == Severity::Error)
      lines.push_back(cat("the data report has an error, ", finding.kind, " (", finding.count,
                          finding.count == 1 ? " example): " : " examples): ", finding.says));
  return lines;
}

// The first of them, as many as are asked.
std::vector<Example> asked_examples(const PreparedData& data) {
  std::vector<Example> examples = held_questions(data);
  if (examples.size() > kMostAsked) examples.resize(kMostAsked);
  return examples;
}

std::vector<TokenAnswer> wanted_answers(const PreparedData& data, const std::vector<Example>& examples) {
  return render_answers(examples, *data.tokenizer, data.tuning->format);
}

std::vector<std::string> references_of(const PreparedData& data, const std::vector<Example>& examples) {
  std::vector<std::string> references;
  for (TokenAnswer& answer : wanted_answers(data, examples)) references.push_back(std::move(answer.text));
  return references;
}

double probe_loss(const Session& session, const TextTask& task) {
  const std::string& path = session.recipe().evaluate.probe;
  const std::string text = path.empty() ? std::string(kProbeText) : read_file(path, std::size_t{4} << 20);
  const std::int64_t context = std::min<std::int64_t>(task.plan.spec.max_positions, 1024);
  return evaluate_text(*task.model, *task.data.tokenizer, text, context).loss;
}

std::int64_t answer_tokens(const PreparedData& data, const DecoderSpec& spec,
                           const std::vector<Example>& examples) {
  return std::min(answer_limit(wanted_answers(data, examples)), spec.max_positions / 2);
}

std::vector<Answer> ask(const TextTask& task, const std::vector<Example>& examples,
                        std::vector<Example> shown) {
  AnswerOptions options;
  options.max_tokens = answer_tokens(task.data, task.plan.spec, examples);
  options.shown = std::move(shown);
  return answer_examples(*task.model, *task.data.tokenizer, task.data.tuning->format, examples, options);
}

// A fold leaves that to the run that learns from all examples.
std::vector<Example> recall_questions(const PreparedData& data, const Recipe& recipe) {
  if (!data.tuning || recipe.data.validation.folds.fold > 0) return {};
  return recall_examples(data.tuning->train, recipe.train.seed);
}

std::vector<Example> shown_examples(const PreparedData& data) {
  const std::vector<Example>& train = data.tuning->train;
  return {train.begin(), train.begin() + static_cast<std::ptrdiff_t>(std::min(kShown, train.size()))};
}

// The answers of systems that know nothing: the commonest training answer, and that of the training question
// most like the asked one. A tuned model that does not beat them has learned nothing that depends on the
// input.
std::map<std::string, std::vector<std::string>> trivial_answers(const TextTask& task,
                                                                const std::vector<std::string>& learned,
                                                                const std::vector<Example>& asked) {
  std::map<std::string, std::size_t> counts;
  const std::vector<Example>& train = task.data.tuning->train;
  for (const std::string& answer : learned) counts[answer] += 1;
  const auto most = std::max_element(counts.begin(), counts.end(),
                                     [](const auto& a, const auto& b) { return a.second < b.second; });
  std::map<std::string, std::vector<std::string>> answers;
  answers["constant"].assign(asked.size(), most->first);
  const Metric& near = find_metric("chrf");
  for (const Example& question : asked) {
    double best = -1;
    std::string answer;
    for (std::size_t i = 0; i < std::min<std::size_t>(train.size(), 512); ++i) {
      const double score = near.one(asked_text(question), asked_text(train[i]));
      if (score > best) best = score, answer = learned[i];
    }
    answers["nearest"].push_back(answer);
  }
  return answers;
}

// Losses of held-out rows; none where nothing is held out.
std::vector<double> held_losses(const Session& session, const TextTask& task) {
  if (task.data.validation.empty()) return {};
  const SetEvaluation what{
      &task.data.validation.front(), session.recipe().data.sequence_length, 1, 0, task.tuning(), {}};
  return row_losses(*task.model, what, kMostRows);
}

// What asking these examples takes at most.
AskedLengths lengths_of(const PreparedData& data, const DecoderSpec& spec,
                        const std::vector<Example>& examples, const std::vector<Example>& shown) {
  AskedLengths lengths;
  if (examples.empty()) return lengths;
  lengths.answer = answer_tokens(data, spec, examples);
  lengths.prompts = static_cast<std::int64_t>(examples.size());
  const std::int64_t room = spec.max_positions - lengths.answer;
  for (const Example& example : examples) {
    const auto asked = asked_prompt(example, shown, *data.tokenizer, data.tuning->format, room);
    const auto length = static_cast<std::int64_t>(asked.prompt.ids.size());
    if (length < spec.max_positions) lengths.prompt = std::max(lengths.prompt, length);
  }
  return lengths;
}

}  // namespace

AskedLengths asked_lengths(const PreparedData& data, const DecoderSpec& spec, const Recipe& recipe) {
  if (!data.tuning) return {};
  const AskedLengths held = lengths_of(data, spec, asked_examples(data), shown_examples(data)),
                     learned = lengths_of(data, spec, recall_questions(data, recipe), {});
  return {std::max(held.prompt, learned.prompt), std::max(held.answer, learned.answer),
          std::max(held.prompts, learned.prompts)};
}

DataReport tuning_data_report(const Recipe& recipe, const PreparedData& data) {
  const TuningData& tuning = *data.tuning;
  const LossOn loss_on = parse_loss_on(recipe.data.loss_on);
  std::vector<Example> held;
  for (const auto& set : tuning.validation) held.insert(held.end(), set.begin(), set.end());
  const std::int64_t row = recipe.data.sequence_length;
  std::vector<std::string> cut;
  const auto measure = [&](const Example& example) {
    TokenExample seen = render_example(example, *data.tokenizer, tuning.format, loss_on);
    const auto inputs = static_cast<std::int64_t>(seen.ids.size()) - 1;
    if (inputs > row) cut.push_back(cat(example.origin, " (", inputs, " tokens)"));
    return Measured(static_cast<std::size_t>(std::min(inputs, row)), seen.merged, seen.apart);
  };
  DataReport report = data_report({tuning.train, held, measure, static_cast<std::size_t>(row)});
  const std::string limit = cat("longer than the ", row, " tokens that the model sees, so ");
  const std::string advice = "shorten it or raise data.sequence_length";
  add_finding(report, "cut",
              limit +
                  "cut (data.overlength: truncate): its answer has no end, and the model is not taught to "
                  "stop there; " +
                  advice,
              cut);
  add_finding(report, "dropped", limit + "left out (data.overlength: drop); " + advice, tuning.dropped);
  return report;
}

std::vector<std::string> tuning_metrics(const Recipe& recipe) {
  if (recipe.evaluate.metrics.empty()) return {"exact_match", "chrf"};
  return recipe.evaluate.metrics;
}

void measure_base(Session& session, const TextTask& task, const Say& say) {
  const std::string path = session.run.path + "/base.json", &other = session.options.base_answers;
  if (!has_base(session, task)) return;
  const std::string& data = task.data.data_sha256;  // answers to other questions are asked anew
  if (std::filesystem::exists(path) && read_json(path).value("data_sha256", data) == data) return;
  if (!other.empty() && other != path && std::filesystem::exists(other))
    return write_file_atomically(path, read_file(other));
  const std::vector<Example> examples = asked_examples(task.data);
  Json base = Json{{"probe_loss", probe_loss(session, task)}, {"data_sha256", data}};
  if (examples.empty()) {
    base["held_losses"] = held_losses(session, task);
  } else {
    say(cat("asking the base ", asked_of(examples.size(), held_questions(task.data).size()),
            " held-out prompts, alone and shown ", shown_examples(task.data).size(), " examples"));
    base["answers"] = answers_json(ask(task, examples, {}));
    const std::vector<Answer> few_shot = ask(task, examples, shown_examples(task.data));
    base["few_shot"] = answers_json(few_shot);
    const auto [least, most] = std::minmax_element(
        few_shot.begin(), few_shot.end(), [](const Answer& a, const Answer& b) { return a.shown < b.shown; });
    const std::size_t wanted = shown_examples(task.data).size();
    base["shown"] = Json{{"least", least->shown}, {"most", most->shown}, {"wanted", wanted}};
    if (least->shown < wanted)
      say(cat("the base was shown ", least->shown, " to ", most->shown, " of ", wanted,
              " examples: no more fit its context of ", task.plan.spec.max_positions, " tokens"));
  }
  write_file_atomically(path, base.dump(1) + "\n");
}

namespace {

HeldAnswers ask_tuned(const TextTask& task, const std::vector<std::string>& learned,
                      const std::vector<Example>& examples, const Json& base, const std::string& path) {
  HeldAnswers held;
  for (const Example& example : examples) {
    held.origins.push_back(example.origin);
    held.prompts.push_back(asked_text(example));
  }
  held.references = references_of(task.data, examples);
  held.base = answers_of(base.at("answers"), path);
  held.few_shot = answers_of(base.at("few_shot"), path);
  require(held.base.size() == examples.size() && held.few_shot.size() == examples.size(), path,
          ": it holds answers to other questions; start over with --fresh");
  held.tuned = ask(task, examples, {});
  for (auto& [name, answers] : trivial_answers(task, learned, examples))
    (name == "constant" ? held.constant : held.nearest) = answers;
  return held;
}

// The run's own held-out answers as one more part: that of the first seed, where seeds are many and folds are
// none.
PartResult own_part(const Session& session, const TextTask& task, const std::vector<std::string>& learned,
                    HeldAnswers held) {
  PartResult own;
  own.seed = session.recipe().train.seed;
  own.best_step = session.state.best_step;
  own.total_steps = session.total_steps;
  own.report = compare_answers({held}, tuning_metrics(session.recipe()));
  own.report["memorised"] = memorised(learned, held.tuned);
  own.report["held_out_prompts"] = held_questions(task.data).size();
  own.held = std::move(held);
  return own;
}

// What base and tuned model say, judged over all parts.
void add_answers(Json& report, const std::vector<PartResult>& parts, const Recipe& recipe) {
  const std::vector<std::string> metrics = tuning_metrics(recipe);
  const std::vector<HeldAnswers> seeds = pooled(parts);
  report.update(compare_answers(seeds, metrics));
  report["held_out_prompts"] = held_out_prompts(parts);
  if (parts.size() > 1) report["spread"] = spread_of(parts, metrics);
  report["memorised"] = longest_memorised(parts);
  if (recipe.report.shows()) report["answers"] = shown_answers(seeds.front());
}

// Where no answers are compared, the losses of held-out rows are, by the same paired test; lower is better.
std::string verdict_by_loss(const Session& session, const TextTask& task, const Json& base,
                            const std::string& path, std::size_t leaked) {
  if (task.data.validation.empty()) return "not shown: nothing was held out";
  if (leaked > 0)
    return cat("not shown: ", leaked, " of ", task.data.tuning->validation.front().size(),
               " held-out examples, or their questions, are in the training set too");
  if (base.contains(kForgotten))
    return "not shown: the base's answers were not kept (report.examples: none); --fresh asks it again";
  std::vector<double> before = json_get_or<std::vector<double>>(base, "held_losses", {}, path),
                      after = held_losses(session, task);
  if (before.empty() || before.size() != after.size())
    return "not shown: the base's held-out loss was not measured";
  for (std::vector<double>* losses : {&before, &after})
    for (double& loss : *losses) loss = -loss;
  return cat("tuned against base, fall of the loss of held-out rows: ",
             describe(compare_paired(after, before, kResampling)));
}

}  // namespace

Json make_tuning_report(Session& session, const TextTask& task, const std::vector<PartResult>& others,
                        const Say& say) {
  if (!has_base(session, task)) return nullptr;
  const std::string &run = session.run.path, path = run + "/base.json";
  const Recipe& recipe = session.recipe();
  write_bedrock_csv(run, recipe.train.global_batch_size, static_cast<std::int64_t>(task.rows_per_epoch()));
  const Json base = std::filesystem::exists(path) ? read_json(path) : Json::object();
  const ModelSource best = resolve_model(run);
  load_checkpoint(best.folder, *session.task, session.trained());
  const AveragesInUse averages(session.averages.get(), session.parameters);
  const RunLog log = read_run_log(run + "/metrics.jsonl");
  Json report = Json{{"format", "lathe-tuning-report"},
                     {"version", 1},
                     {"step", best.step},
                     {"adapter", recipe.adapter.kind}};

  const std::vector<std::string> learned =
      task.tuning() ? references_of(task.data, task.data.tuning->train) : std::vector<std::string>();
  const std::size_t leaked = leaked_count(task.data);
  std::vector<PartResult> parts;
  if (const std::vector<Example> examples = asked_examples(task.data);
      !examples.empty() && base.contains("answers")) {
    say(cat("asking the tuned model (step ", best.step, ") the same"));
    const HeldAnswers held = ask_tuned(task, learned, examples, base, path);
    write_file_atomically(run + "/answers.json", to_json(held).dump(1) + "\n");
    parts.push_back(own_part(session, task, learned, held));
    if (base.contains("shown")) report["shown"] = base.at("shown");
  }
  parts.insert(parts.end(), others.begin(), others.end());
  for (const PartResult& part : others)
    if (part.report.contains("shown") &&
        (!report.contains("shown") || part.report["shown"]["least"] < report["shown"]["least"]))
      report["shown"] = part.report["shown"];
  if (parts.empty())
    report["verdict"] = verdict_by_loss(session, task, base, path, leaked);
  else
    add_answers(report, parts, recipe);

  if (const std::vector<Example> again = recall_questions(task.data, recipe); !again.empty()) {
    const std::vector<Answer> answers =
        followed_answers(*task.model, *task.data.tokenizer, task.data.tuning->format, again);
    report["recalled"] = recalled(learned, references_of(task.data, again), answers);
    report["recalled"]["of"] = questions_in(task.data.tuning->train).size();
  }
  report["course"] = course_of(log, session.state.best_step, session.state.step);
  if (const auto before = held_loss_at(log, 0), after = held_loss_at(log, best.step); before && after)
    report["held_out"] = loss_change(*before, *after);
  if (base.contains("probe_loss"))
    report["general_text"] =
        loss_change(json_get<double>(base, "probe_loss", path), probe_loss(session, task));
  report["leaked"] = leaked;
  report["data_errors"] = data_errors(session, task);
  report["look"] = tuning_looks(report);
  for (const char* meter : {"memorised", "recalled"})
    if (!recipe.report.shows() && report.contains(meter)) report[meter].erase("text");
  write_file_atomically(run + "/report.json", report.dump(1) + "\n");
  return report;
}

}  // namespace lathe
