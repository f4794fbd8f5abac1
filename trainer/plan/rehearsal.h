#pragma once
// Goes through a run as trainer/session.cpp and trainer/train.cpp do, taking from the allocator's books what
// each tensor would take and holding it as long as the code or the autograd graph holds it. Nothing is
// computed: a rehearsal of a large model costs less than a millisecond a step. What a layer keeps is written
// next to the name of the file whose code decides it; when that code changes what it saves, the rehearsal
// must follow (tests/long/test_plan.py tells).
#include <vector>

#include "trainer/plan/books.h"
#include "trainer/plan/plan.h"

namespace lathe {

// The books' largest total over construction, steps with accumulation, and a checkpoint while the next step
// runs.
AllocatorBooks::Totals rehearse(const DecoderSpec& spec, const PlanSettings& settings);

// Weights that are trained: all, or those of the adapters.
std::int64_t trained_parameters(const DecoderSpec& spec, const PlanSettings& settings);

}  // namespace lathe
