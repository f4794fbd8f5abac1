#pragma once
// How fast this machine trains a model, by doing it for two seconds: forward, backward and one optimizer step
// on random tokens, with the run's own precision and micro-batch. Needs the memory that the plan says.
#include "trainer/plan/plan.h"

namespace lathe {

// Tokens a second of one process. Loading, evaluation and checkpoints are not in it.
double measure_tokens_per_second(const DecoderSpec& spec, const PlanSettings& settings, const Recipe& recipe);

// The same, told within 0.1 s and without making the model: the plan's FLOPs at the rate of matrix products
// of the model's own sizes, timed here. Training reaches half of that rate; what it truly reaches differs by
// up to twice (small models, whose time is not in products, take longer).
double estimate_tokens_per_second(const DecoderSpec& spec, const PlanSettings& settings);

}  // namespace lathe
