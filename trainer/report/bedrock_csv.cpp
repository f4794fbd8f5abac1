#include "trainer/report/bedrock_csv.h"

#include <cmath>

#include "data/io/file_system.h"
#include "recipes/schema/error.h"
#include "trainer/report/format.h"
#include "trainer/report/run_log.h"

namespace lathe {

namespace {

// Nothing where the loss was not a number.
std::string field(double value) { return std::isfinite(value) ? format_significant(value, 9) : ""; }

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
  if (log.evaluations.empty()) return;
  std::string validation = "step_number,epoch_number,validation_loss,perplexity\n";
  for (const EvaluationMetrics& evaluation : log.evaluations)
    if (evaluation.set == log.evaluations.front().set) validation += line(evaluation.step, evaluation.loss);
  write_file_atomically(run + "/validation_metrics.csv", validation);
}

}  // namespace lathe
