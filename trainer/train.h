#pragma once
// The training loop, for every task: read rows, forward, backward, reduce, watch, step; evaluate, save, stop.
#include <string>

#include "trainer/phase_times.h"
#include "trainer/session.h"

namespace lathe {

enum class StopReason { Finished, StopAfter, Interrupted, TimeUp, EarlyStopping };

struct TrainOutcome {
  StopReason reason = StopReason::Finished;
  EvaluationMetrics last_evaluation;  // of the first validation set; step 0 when none
  EvaluationMetrics first_evaluation;
  double seconds_to_first_step = 0;
  double seconds = 0, data_seconds = 0;  // this process trained, and waited for batches of it
  std::int64_t steps = 0;                // of this process
  double wall_seconds = 0;               // the loop, evaluations and checkpoints included
  PhaseTimes phases;
};

// Trains until the end or a stop; every rank returns the same reason. The last checkpoint is durable on
// return.
TrainOutcome train(Session& session);

}  // namespace lathe
