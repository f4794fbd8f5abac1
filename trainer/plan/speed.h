#pragma once
// How fast this machine trains a model, by doing it for two seconds: forward, backward and one optimizer step on random
// tokens, with the run's own precision and micro-batch. Needs the memory that the plan says.
#include "trainer/plan/plan.h"

namespace lathe {

// Tokens a second of one process. Loading, evaluation and checkpoints are not in it.
double measure_tokens_per_second(const DecoderSpec& spec, const PlanSettings& settings, const Recipe& recipe);

}  // namespace lathe
