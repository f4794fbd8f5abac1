#include "trainer/report/course.h"

namespace lathe {

std::optional<double> held_loss_at(const RunLog& log, std::int64_t step) {
  if (log.evaluations.empty()) return std::nullopt;
  const EvaluationMetrics* found = evaluation_at(log, step, log.evaluations.front().set);
  return found ? std::optional<double>(found->loss) : std::nullopt;
}

Json course_of(const RunLog& log, std::int64_t best_step, std::int64_t last_step) {
  Json course = Json{{"best_step", best_step}, {"last_step", last_step}};
  if (const auto base = held_loss_at(log, 0)) course["base_loss"] = *base;
  if (const auto best = held_loss_at(log, best_step)) course["best_loss"] = *best;
  for (const EvaluationMetrics& evaluation : log.evaluations)
    if (evaluation.set == log.evaluations.front().set) course["last_loss"] = evaluation.loss;
  if (!log.steps.empty()) {
    course["first_training_loss"] = log.steps.front().loss;
    course["training_loss"] = log.steps.back().loss;
  }
  return course;
}

Json loss_change(double before, double after) {
  return Json{{"base_loss", before}, {"tuned_loss", after}, {"change", before > 0 ? after / before - 1 : 0}};
}

}  // namespace lathe
