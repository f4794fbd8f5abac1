#pragma once
// How a run's losses went, from its log: what "too long" looks like, and what held-out loss was gained.
// Torch-free.
#include <optional>

#include "trainer/report/run_log.h"

namespace lathe {

// The loss of the first held-out set at a step; nothing where none was evaluated there.
std::optional<double> held_loss_at(const RunLog& log, std::int64_t step);

// {best_step, last_step} and, where they were measured, the held-out losses {base_loss, best_loss, last_loss}
// and the training losses {first_training_loss, training_loss}.
Json course_of(const RunLog& log, std::int64_t best_step, std::int64_t last_step);

// {base_loss, tuned_loss, change}: the change is a share of the first.
Json loss_change(double before, double after);

}  // namespace lathe
