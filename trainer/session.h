#pragma once
// Everything a training run needs, made in order: run directory, data, model, parameters, optimizer, checkpoint. The loop
// (train.cpp) only drives it.
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/pipeline/loader.h"
#include "models/decoder/decoder.h"
#include "trainer/checks.h"
#include "trainer/parallel/ranks.h"
#include "trainer/plan/plan.h"
#include "trainer/report/metrics.h"
#include "trainer/run_directory.h"
#include "trainer/state.h"

namespace lathe {

struct TrainOptions {
  bool fresh = false, quiet = false;
  std::optional<std::int64_t> stop_after;   // stop once so many steps are done in all; leaves the schedule alone
  double share = 1;                         // of the schedule that is walked: where the folds were best (parts.h)
  std::string base_answers;                 // base.json of a run with the same held-out examples, or empty
};

struct Session {
  LoadedRecipe loaded;
  TrainOptions options;
  std::unique_ptr<Ranks> ranks;
  RunDirectory run;
  PreparedData data;
  ModelPlan plan;
  PlanSettings expected;                      // what its memory is planned from
  std::shared_ptr<Decoder> model;
  std::vector<Parameter> parameters;          // those that are trained
  std::vector<BundleTensor> frozen;           // the others, in the base's files
  std::unique_ptr<Optimizer> optimizer;
  std::unique_ptr<Loader> loader;
  std::unique_ptr<CheckpointWriter> writer;   // leader only
  TrainState state;
  std::string precision;
  int threads = 1;
  std::int64_t micro_batch_size = 1;          // rows a forward pass
  std::int64_t total_steps = 0;               // of the schedule
  std::int64_t last_step = 0;                 // where the run ends: total_steps, or options.share of them
  std::uint64_t total_rows = 0;               // rows the run will consume; the last step may be smaller
  std::vector<std::string> warnings;          // told before step 0

  const Recipe& recipe() const { return loaded.recipe; }
  bool leader() const { return ranks->leader(); }
  CheckpointParts checkpoint_parts() const;
};

// Opens the run and brings it to where it was left. `say` gets lines for the log.
Session open_session(const LoadedRecipe& loaded, const TrainOptions& options,
                     const std::function<void(const std::string&)>& say);

// How a recipe's training rows are read.
LoaderOptions loader_options(const Recipe& recipe);

// Optimizer steps and rows of the whole run, from the first of max_steps, epochs, max_tokens.
struct RunLength { std::int64_t steps = 0; std::uint64_t rows = 0; };
RunLength run_length(const TrainSection& train, std::uint64_t rows_per_epoch, std::uint64_t tokens_per_epoch);

// Tuning without an end of its own: about 100 optimizer updates, at least 3 and at most 15 epochs.
void choose_tuning_length(TrainSection& train, std::uint64_t rows);

// Largest divisor of the rows a rank gets in a step whose tokens stay within 8192.
std::int64_t choose_micro_batch(const Recipe& recipe, int world_size);

}  // namespace lathe
