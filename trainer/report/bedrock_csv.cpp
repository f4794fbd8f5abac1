#include "trainer/report/bedrock_csv.h"

#include <cmath>
#include <filesystem>
#include <set>

#include "data/io/file_system.h"
#include "recipes/schema/error.h"
#include "trainer/report/course.h"
#include "trainer/report/format.h"
#include "trainer/report/run_log.h"

namespace lathe {

namespace {

// Nothing where the loss was not a number.
std::string field(double value) { return std::isfinite(value) ? format_significant(value, 9) : ""; }

// The logs of a run's folds, of every seed, and how many folds there are.
struct Folds {
  std::vector<RunLog> logs;
  std::int64_t count = 0;
};

Folds read_folds(const std::string& run) {
  std::set<std::string> folders, folds;
  std::error_code none;
  for (const auto& part : std::filesystem::directory_iterator(run + "/parts", none)) {
    const std::string name = part.path().filename().string();  // fold-2 or fold-2-seed-18
    if (!name.starts_with("fold-")) continue;
    folders.insert(part.path().string());
    folds.insert(name.substr(0, name.find("-seed-")));
  }
  Folds found{{}, static_cast<std::int64_t>(folds.size())};
  for (const std::string& folder : folders) found.logs.push_back(read_run_log(folder + "/metrics.jsonl"));
  return found;
}

// A run that learns from all examples holds nothing out: its folds did, each on its share of the rows. Their
// mean loss at the steps that all of them reached.
std::string fold_lines(const Folds& folds, std::int64_t rows_per_step, std::int64_t rows_per_epoch) {
  std::string lines;
  const std::vector<RunLog>& logs = folds.logs;
  for (const EvaluationMetrics& evaluation : logs.front().evaluations) {
    if (evaluation.set != logs.front().evaluations.front().set) continue;
    double sum = 0;
    bool all = true;
    for (const RunLog& log : logs) {
      const auto loss = held_loss_at(log, evaluation.step);
      all = all && loss;
      sum += loss.value_or(0);
    }
    if (!all) continue;
    const double mean = sum / static_cast<double>(logs.size());
    lines += cat(evaluation.step, ",",
                 evaluation.step * rows_per_step * folds.count / ((folds.count - 1) * rows_per_epoch), ",",
                 field(mean), ",", field(std::exp(mean)), "\n");
  }
  return lines;
}

}  // namespace

void write_bedrock_csv(const std::string& run, std::int64_t rows_per_step, std::int64_t rows_per_epoch) {
  const RunLog log = read_run_log(run + "/metrics.jsonl");
  const auto line = [&](std::int64_t steps_behind, double loss) {
    return cat(steps_behind, ",", steps_behind * rows_per_step / rows_per_epoch, ",", field(loss), ",",
               field(std::exp(loss)), "\n");
  };
  std::string training = "step_number,epoch_number,training_loss,perplexity\n";
  for (const StepMetrics& step : log.steps) training += line(step.step - 1, step.loss);
  write_file_atomically(run + "/step_wise_training_metrics.csv", training);
  std::string validation = "step_number,epoch_number,validation_loss,perplexity\n";
  if (log.evaluations.empty()) {
    const Folds folds = read_folds(run);
    if (folds.count > 1)
      write_file_atomically(run + "/validation_metrics.csv",
                            validation + fold_lines(folds, rows_per_step, rows_per_epoch));
    return;
  }
  for (const EvaluationMetrics& evaluation : log.evaluations)
    if (evaluation.set == log.evaluations.front().set) validation += line(evaluation.step, evaluation.loss);
  write_file_atomically(run + "/validation_metrics.csv", validation);
}

}  // namespace lathe
