#include "trainer/text/text_task.h"

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "checkpoints/bundle/fingerprint.h"
#include "checkpoints/formats/safetensors.h"
#include "data/io/shell_word.h"
#include "models/decoder/weights.h"
#include "models/objectives/causal_lm.h"
#include "trainer/base_notes.h"
#include "trainer/evaluate/evaluate.h"
#include "trainer/export.h"
#include "trainer/model_source.h"
#include "trainer/parallel/ranks.h"
#include "trainer/plan/speed.h"
#include "trainer/report/format.h"
#include "trainer/session.h"
#include "trainer/text/asked_form.h"
#include "trainer/text/samples.h"
#include "trainer/text/tuning_report.h"

namespace lathe {

namespace {

// The model's files in a checkpoint.
constexpr const char* kModelFile = "model.safetensors";

RunOptions run_options(const Session& session) {
  const TrainSection& train = session.recipe().train;
  RunOptions options;
  options.training = true;
  options.activation_checkpointing = train.activation_checkpointing;
  options.dropout = train.dropout;
  options.seed = static_cast<std::uint64_t>(train.seed);
  options.step = static_cast<std::uint64_t>(session.state.step);
  return options;
}

// What kept documents lost of themselves; "" when nothing.
std::string lost_tokens(const TokenLedger& ledger) {
  if (ledger.tokens_truncated == 0) return "";
  return cat("; ", format_count(static_cast<double>(ledger.tokens_truncated)),
             " tokens of long ones are cut off (data.overlength)");
}

}  // namespace

void choose_tuning_length(TrainSection& train, std::uint64_t rows, bool adapter) {
  if (train.max_steps || train.epochs || train.max_tokens || train.max_minutes) return;
  const double twice = adapter ? 1 : 2,
               per_epoch = static_cast<double>(rows) / static_cast<double>(train.global_batch_size);
  train.epochs = std::clamp(std::round(twice * 100 / per_epoch), 3.0, twice * 15);
}

LoaderOptions loader_options(const Recipe& recipe) {
  LoaderOptions options;
  options.sequence_length = recipe.data.sequence_length;
  options.seed = static_cast<std::uint64_t>(recipe.train.seed);
  options.padding = recipe.task == "pretrain";
  return options;
}

std::vector<std::string> source_lines(const Recipe& recipe, const Loader& loader, std::uint64_t rows) {
  const std::vector<SourceUse> uses = loader.sources(rows);
  std::vector<std::string> lines;
  for (std::size_t k = 0; k < uses.size() && uses.size() > 1 && uses.size() == recipe.data.train.size();
       ++k) {
    const double taken = static_cast<double>(uses[k].taken);
    lines.push_back(cat("source ", recipe.data.train[k].path, ": ",
                        format_fixed(100 * taken / static_cast<double>(rows), 1), " % of the rows, ",
                        format_fixed(taken / static_cast<double>(uses[k].rows), 2), " epochs"));
  }
  return lines;
}

void TextTask::prepare(Session& session, const Say& say) {
  const Recipe& recipe = session.recipe();
  data = prepare_on_all_ranks(session, say,
                              [&](const PrepareProgress& progress) { return prepare_for(recipe, progress); });
  plan = plan_model(recipe, *data.tokenizer);
  if (const std::string note = base_dropout_note(*plan.family, plan.config);
      !note.empty() && !recipe.model.path.empty())
    say(note);
  loader_ = std::make_unique<Loader>(data.train, loader_options(recipe));
  if (recipe.task == "sft")
    choose_tuning_length(session.loaded.recipe.train, loader_->rows_per_epoch(),
                         !recipe.adapter.kind.empty());
}

std::uint64_t TextTask::rows_per_epoch() const { return loader_->rows_per_epoch(); }
std::uint64_t TextTask::units_per_epoch() const { return loader_->tokens_per_epoch(); }

std::string TextTask::objection(Session& session, std::int64_t limit) {
  const int ranks = session.ranks->info().world_size;
  expected = plan_settings(session.recipe(), session.precision, session.micro_batch_size, ranks);
  if (session.recipe().task == "sft")
    expected.batch_tokens = tuning_batches(*loader_, session.micro_batch_size, session.total_rows);
  expected.asked = asked_lengths(data, plan.spec, session.recipe());
  return advice_to_fit(plan.spec, expected, limit);
}

void TextTask::seek(std::uint64_t cursor) { loader_->seek(cursor); }

MicroBatchLoss TextTask::loss(const Session& session, std::uint64_t first, std::int64_t count) {
  const auto start = std::chrono::steady_clock::now();
  const RowSchedule schedule = session.row_schedule();
  const Batch batch =
      loader_->read(first, count, [&](RowRange rows) { return schedule.after(rows, session.state.cursor); });
  const double waited = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return {causal_lm_loss(*model, batch, run_options(session)), batch.token_count, waited};
}

std::vector<EvaluationMetrics> TextTask::evaluate(Session& session) {
  const Recipe& recipe = session.recipe();
  std::vector<EvaluationMetrics> results;
  std::function<void()>
      between;  // a long evaluation before step 1 does not hold up who stops there: nothing is lost
  if (session.state.step == 0 && session.ranks->info().world_size == 1)
    between = [] { stop_if_requested("evaluating step 0"); };
  for (const PreparedSet& set : data.validation) {
    const SetEvaluation what{
        &set,   recipe.data.sequence_length, session.micro_batch_size, recipe.evaluate.max_rows, tuning(),
        between};
    results.push_back(evaluate_set(*model, what, *session.ranks));
    // Before the first step a model from scratch writes noise: nothing to see, and the user waits for it.
    const bool noise = session.state.step == 0 && recipe.model.path.empty();
    if (results.size() == 1 && session.leader() && !noise)
      results.front().samples = make_samples(session, *this);
  }
  return results;
}

// Tuning evaluates once an epoch unless told otherwise.
std::int64_t TextTask::usual_evaluation(const Session& session) const {
  if (!tuning()) return 0;
  const std::int64_t batch = session.recipe().train.global_batch_size;
  return std::max<std::int64_t>(1, (static_cast<std::int64_t>(rows_per_epoch()) + batch - 1) / batch);
}

std::vector<CheckpointFile> TextTask::model_files(std::vector<BundleTensor> weights) const {
  std::vector<CheckpointFile> files;
  files.push_back({"config.json", {}, plan.config.dump(2) + "\n"});
  for (const TokenizerFile& file : data.tokenizer->files()) files.push_back({file.name, {}, file.content});
  if (adapter) {
    PeftAdapter trained = *adapter;
    trained.tensors = std::move(weights);
    trained.targets = peft_targets(trained, *plan.family, plan.spec);
    files.push_back({kPeftConfig, {}, peft_config(trained).dump(2) + "\n"});
    files.push_back({kPeftTensors, peft_tensors(trained, *plan.family, plan.spec, /*exact=*/false), ""});
    return files;
  }
  if (!plan.generation_config.is_null())  // the base's own stops and sampling, for its exports
    files.push_back({"generation_config.json", {}, plan.generation_config.dump(2) + "\n"});
  Bundle bundle;
  bundle.family = plan.family;
  bundle.config = plan.config;
  bundle.spec = plan.spec;
  bundle.tensors = std::move(weights);
  for (const BundleTensor& tensor : frozen) bundle.tensors.push_back(convert_tensor(tensor, DType::F32));
  files.push_back({kModelFile, disk_tensors(bundle), ""});
  return files;
}

std::map<std::string, BundleTensor> TextTask::read_weights(const std::string& checkpoint) const {
  std::map<std::string, BundleTensor> internal;
  if (adapter) {
    for (BundleTensor& tensor : read_peft(checkpoint, *plan.family, plan.spec).tensors)
      internal.emplace(tensor.name, std::move(tensor));
    return internal;
  }
  std::map<std::string, BundleTensor> on_disk;
  for (BundleTensor& tensor : read_safetensors(checkpoint + "/" + kModelFile).tensors)
    on_disk.emplace(tensor.name, std::move(tensor));
  for (BundleTensor& tensor : internal_tensors(*plan.family, plan.spec, std::move(on_disk), checkpoint))
    internal.emplace(tensor.name, std::move(tensor));
  return internal;
}

std::string TextTask::one_line(const EvaluationMetrics& metrics) const {
  return cat(metrics.set, " loss ", metrics.loss, ", ", metrics.bits_per_byte, " bits per byte");
}

Json TextTask::evaluated(const EvaluationMetrics& metrics) const {
  return Json{{"bits_per_byte", metrics.bits_per_byte}, {"perplexity", metrics.perplexity}};
}

void TextTask::say_data(const Session& session, bool strict, const Say& say, const Say& warn) const {
  if (!tuning()) return;
  for (const ExampleFile& file : data.tuning->files) say(describe(file));
  for (const std::string& note : data.tuning->notes) say("note: " + note);
  const DataReport report = tuning_data_report(session.recipe(), data);
  say(to_text(report));
  DataReport faults = report;
  std::erase_if(faults.findings, [&](const Finding& finding) {
    return finding.severity != Severity::Error && !(strict && finding.severity == Severity::Warning);
  });
  if (!faults.findings.empty()) warn(to_text(faults));
  if (strict && (report.has(Severity::Error) || report.has(Severity::Warning)))
    fail("the data report has errors or warnings (--strict); nothing was trained");
}

std::vector<std::string> TextTask::opening_lines(const Session& session) const {
  const TokenLedger& ledger = data.train.ledger;
  std::vector<std::string> lines;
  for (const std::string& note : data.notes) lines.push_back(note);
  lines.push_back(cat("data: ", ledger.documents_kept, " documents kept, ",
                      ledger.documents_duplicate + ledger.documents_dropped, " dropped, ",
                      format_count(static_cast<double>(ledger.tokens_kept)), " tokens, ", rows_per_epoch(),
                      " rows of ", session.recipe().data.sequence_length, lost_tokens(ledger)));
  for (const std::string& line : source_lines(session.recipe(), *loader_, session.total_rows))
    lines.push_back(line);
  lines.push_back(cat("model: ", plan.family->name, ", ", format_count(static_cast<double>(parameters())),
                      " parameters"));
  return lines;
}

Json TextTask::identity(const Session& session) const {
  Json identity{{"data_sha256", data.data_sha256},
                {"tokenizer_sha256", data.tokenizer->fingerprint()},
                {"base", session.recipe().model.path},
                {"family", plan.family->name},
                {"documents", data.train.ledger.documents_kept},
                {"training_tokens", data.train.ledger.tokens_kept}};
  if (const std::string& base = session.recipe().model.path; !base.empty())
    identity["base_sha256"] = model_fingerprint(resolve_model(base).folder);
  if (!tuning()) return identity;
  identity["examples"] = kind_name(usual_kind(data.tuning->train));
  if (const std::string made_by = prompt_template_of(session.recipe(), *data.tuning); !made_by.empty())
    identity["prompt_template"] = made_by;
  return identity;
}

std::int64_t TextTask::parameters() const { return parameter_count(plan.spec); }
Json TextTask::ledger() const { return data.train.ledger.to_json(); }
std::int64_t TextTask::peak_memory(const Session&) const { return make_plan(plan.spec, expected).peak_bytes; }

double TextTask::expected_seconds(const Session& session) const {
  const double rows = static_cast<double>(session.total_rows) * static_cast<double>(session.last_step) /
                          static_cast<double>(std::max<std::int64_t>(1, session.total_steps)) -
                      static_cast<double>(session.state.cursor);
  const double tokens =
      std::max(0.0, rows) / static_cast<double>(rows_per_epoch()) * static_cast<double>(units_per_epoch());
  return tokens / (session.ranks->info().world_size * estimate_tokens_per_second(plan.spec, expected));
}

void TextTask::before_first_step(Session& session, const Say& say) { measure_base(session, *this, say); }

Json TextTask::report(Session& session, const std::vector<PartResult>& others, const Say& say) {
  return make_tuning_report(session, *this, others, say);
}

Json TextTask::export_run(Session& session, const Say& say) { return lathe::export_run(session, *this, say); }

std::string TextTask::next_commands(const Session& session) const {
  const std::string run = shell_word(session.run.path);
  const ExampleKind kind = tuning() ? usual_kind(data.tuning->train) : ExampleKind::Text;
  if (kind == ExampleKind::Text)
    return cat("lathe generate ", run, " --prompt TEXT    lathe evaluate ", run, " --data FILE");
  return cat("lathe chat ", run, "    lathe evaluate ", run, " --data FILE --metrics ",
             tuning_metrics(session.recipe()).front());
}

}  // namespace lathe
