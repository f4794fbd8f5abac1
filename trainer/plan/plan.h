#pragma once
// What a run will need, from the spec alone: parameters, peak memory by part, FLOPs. Steps come from
// run_length(). The memory model is fitted to no configuration: the tensors that the code holds are counted
// in the order in which it takes and gives them (trainer/plan/rehearsal.h), beside what the program itself
// needs.
#include <cstdint>
#include <string>
#include <vector>

#include "checkpoints/bundle/spec.h"
#include "data/pipeline/loader.h"
#include "recipes/schema/recipe.h"

namespace lathe {

struct AskedLengths {
  std::int64_t prompt = 0, answer = 0;  // tokens
  std::int64_t prompts = 0;
};

// Of texts and of pictures.
struct RunSettings {
  std::int64_t micro_batch_size = 1, global_batch_size = 1;
  int world_size = 1, threads = 1;
  bool bf16 = true, muon = false;
  bool averages = false;          // moving ones of the weights
  bool saves_between = false;     // a checkpoint is written while training goes on
  bool tiled_attention = true;    // of this processor, in bf16 (models/ops/attention.cpp)
  std::int64_t adapter_rank = 0;  // 0: all weights are trained
};
// Of both, from the recipe and the precision, micro-batch and ranks of the run.
RunSettings run_settings(const Recipe& recipe, const std::string& precision, std::int64_t micro_batch_size,
                         int world_size);

struct PlanSettings : RunSettings {
  std::int64_t sequence_length = 512;
  bool activation_checkpointing = false;
  bool dora = false;
  std::vector<std::string> adapter_targets;
  std::vector<std::string> frozen;            // parts of names whose parameters are not trained
  bool nf4 = false, double_quantised = true;  // the frozen matrices of the blocks in 4 bits
  double export_bytes = 0;         // of a parameter in the widest export, while it is compared; 0: none
  std::int64_t export_logits = 0;  // rows of logits that are kept meanwhile
  std::int64_t base_bytes = 0;     // files of the model that is tuned; of a frozen one they stay mapped
  AskedLengths asked;              // before and after tuning (trainer/text/tuning_report.h)
  std::vector<std::int64_t> batch_tokens;  // tuning: tokens of the micro-batches; empty: all of full length
};
PlanSettings plan_settings(const Recipe& recipe, const std::string& precision, std::int64_t micro_batch_size,
                           int world_size);

// Tuning does not pad: tokens of the run's first micro-batches, and of the largest of all rows together.
std::vector<std::int64_t> tuning_batches(Loader& loader, std::int64_t micro_batch_size, std::uint64_t rows);

// What a process needs before its first tensor and beside them.
std::int64_t program_bytes();

struct PlanPart {
  std::string name;
  std::int64_t bytes = 0;
};

struct Plan {
  std::int64_t parameters = 0, trained = 0;
  std::vector<PlanPart> parts;  // add up to peak_bytes
  std::int64_t peak_bytes = 0;  // of one process
  double flops_per_token = 0;   // forward and backward (6 N + attention)
};

Plan make_plan(const DecoderSpec& spec, const PlanSettings& settings);

// Empty when the plan stays within `limit` bytes; else a sentence with the smallest change that would fit.
// Changes that leave the result alone come first: smaller micro-batches, activation checkpointing; then a
// shorter sequence_length.
std::string advice_to_fit(const DecoderSpec& spec, const PlanSettings& settings, std::int64_t limit);

}  // namespace lathe
