#pragma once
// metrics.jsonl read back.
#include <string>
#include <vector>

#include "data/io/json.h"
#include "trainer/report/metrics.h"

namespace lathe {

struct RunLog {
  std::string unit = "tokens";     // what a step counts
  std::vector<StepMetrics> steps;  // ascending; a step done again after a roll-back counts as done last
  std::vector<EvaluationMetrics> evaluations;  // in the order of the file, likewise
  std::vector<Json> events;
};
// Lines that are damaged are left out; an absent file is an empty log. null numbers become NaN.
RunLog read_run_log(const std::string& path);

// Of the step and of that set; null: the log has none.
const EvaluationMetrics* evaluation_at(const RunLog& log, std::int64_t step, const std::string& set);

}  // namespace lathe
