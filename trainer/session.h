#pragma once
// Everything a training run needs, made in order: run directory, data, model, parameters, optimizer,
// checkpoint. What is trained is the task's (task.h); the loop (train.cpp) only drives both.
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/shards/prepare.h"
#include "trainer/parallel/ranks.h"
#include "trainer/row_schedule.h"
#include "trainer/run_directory.h"
#include "trainer/signals.h"
#include "trainer/state.h"
#include "trainer/task.h"

namespace lathe {

struct TrainOptions {
  bool fresh = false, quiet = false;
  std::optional<std::int64_t>
      stop_after;            // stop once so many steps are done in all; leaves the schedule alone
  double share = 1;          // of the schedule that is walked: where the folds were best (parts.h)
  std::string base_answers;  // base.json of a run with the same held-out examples, or empty
};

struct Session {
  LoadedRecipe loaded;
  TrainOptions options;
  std::unique_ptr<Ranks> ranks;
  RunDirectory run;
  std::unique_ptr<Task> task;
  std::vector<Parameter> parameters;  // those that are trained
  std::unique_ptr<Optimizer> optimizer;
  std::unique_ptr<Averages> averages;        // where the recipe asks for them
  std::unique_ptr<CheckpointWriter> writer;  // leader only
  TrainState state;
  std::string precision;
  int threads = 1;
  std::int64_t micro_batch_size = 1;  // rows a forward pass
  std::int64_t total_steps = 0;       // of the schedule
  std::int64_t last_step = 0;         // where the run ends: total_steps, or options.share of them
  std::uint64_t total_rows = 0;       // rows the run will consume; the last step may be smaller
  std::vector<std::string> warnings;  // told before step 0

  RowSchedule row_schedule() const;  // of this rank
  const Recipe& recipe() const { return loaded.recipe; }
  bool leader() const { return ranks->leader(); }
  Trained trained() { return {parameters, *optimizer, averages.get()}; }
};

// Opens the run and brings it to where it was left. `say` gets lines for the log.
Session open_session(const LoadedRecipe& loaded, const TrainOptions& options, const Say& say);

// Back to the newest checkpoint, on all ranks; false when there is none.
bool go_back(Session& session);

// What `make` prepares (data, shards), the same on every rank: the leader makes it, saying its phases, then
// the others find it ready.
template <class Make>
auto prepare_on_all_ranks(Session& session, const Say& say, const Make& make)
    -> decltype(make(PrepareProgress{})) {
  std::string last_phase;
  const PrepareProgress progress = [&](const std::string& phase, double) {
    stop_if_requested("preparing the data");
    if (phase != last_phase) say("prepare: " + phase);
    last_phase = phase;
  };
  decltype(make(progress)) data;
  session.ranks->leader_alone("preparing the data", [&] { data = make(progress); });
  if (!session.leader()) data = make(PrepareProgress{});
  return data;
}

// Optimizer steps and rows of the whole run, from the first of max_steps, epochs, max_tokens.
struct RunLength {
  std::int64_t steps = 0;
  std::uint64_t rows = 0;
};
RunLength run_length(const TrainSection& train, std::uint64_t rows_per_epoch, std::uint64_t tokens_per_epoch);

// Largest divisor of the rows a rank gets in a step whose tokens stay within 8192 (of a picture: its patches
// of 4 x 4 and its caption).
std::int64_t choose_micro_batch(const Recipe& recipe, int world_size);

}  // namespace lathe
