#pragma once
// How fast this machine trains a model, by doing it for two seconds: forward, backward and one optimizer step
// on random tokens, with the run's own precision and micro-batch. Needs the memory that the plan says.
#include <functional>

#include "trainer/plan/plan.h"

namespace lathe {

// Tokens a second of one process. Loading, evaluation and checkpoints are not in it.
double measure_tokens_per_second(const DecoderSpec& spec, const PlanSettings& settings, const Recipe& recipe);

// The least of repeats of `timed`, which tells its seconds. On a busy machine most of them are preempted, and
// a short one then takes a hundred times as long: it goes on until three agree with the least, for half a
// second at most (but always three).
double least_seconds(const std::function<double()>& timed);

// The same, told within 0.1 s (a second on a busy machine) and without making the model: the plan's FLOPs at
// the rate of matrix products of the model's own sizes, timed here. Training reaches half of that rate; what
// it truly reaches differs by up to twice (small models, whose time is not in products, take longer).
double estimate_tokens_per_second(const DecoderSpec& spec, const PlanSettings& settings);

}  // namespace lathe
