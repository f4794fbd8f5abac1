#pragma once
// What a run will need, from the spec alone: parameters, peak memory by part, FLOPs. Steps come from run_length(). The
// memory model is fitted to nothing: each part is counted from the tensors that the code holds (trainer/plan/plan.cpp).
#include <cstdint>
#include <string>
#include <vector>

#include "checkpoints/bundle/spec.h"
#include "recipes/schema/recipe.h"

namespace lathe {

struct PlanSettings {
  std::int64_t sequence_length = 512, micro_batch_size = 1, global_batch_size = 1;
  int world_size = 1;
  bool bf16 = true, activation_checkpointing = false, muon = false, checkpoints = true;
};
PlanSettings plan_settings(const Recipe& recipe, const std::string& precision, std::int64_t micro_batch_size, int world_size);

struct PlanPart { std::string name; std::int64_t bytes = 0; };

struct Plan {
  std::int64_t parameters = 0;
  std::vector<PlanPart> parts;        // add up to peak_bytes
  std::int64_t peak_bytes = 0;        // of one process
  double flops_per_token = 0;         // forward and backward (6 N + attention)
};

Plan make_plan(const DecoderSpec& spec, const PlanSettings& settings);

// Error naming the smallest change that would fit, when the plan exceeds this machine's limit.
void refuse_what_cannot_fit(const DecoderSpec& spec, const PlanSettings& settings);

}  // namespace lathe
