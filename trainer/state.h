#pragma once
// What a checkpoint holds beside the weights, and the writing of it in the background: the loop waits for a
// copy to host memory, a thread of its own hashes, writes, syncs and publishes. At most one write is in
// flight.
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "checkpoints/store/store.h"
#include "trainer/optim/averages.h"
#include "trainer/task.h"

namespace lathe {

struct TrainState {
  std::int64_t step = 0;     // optimizer steps done
  std::uint64_t cursor = 0;  // rows of the global order consumed
  std::int64_t tokens = 0;
  double seconds = 0;  // training time so far
  double best_loss = 0;
  std::int64_t best_step = -1;       // -1: never validated
  double patience_loss = 0;          // of the last improvement by at least early_stopping.min_delta
  std::int64_t bad_evaluations = 0;  // since then
  std::vector<double> norm_window, loss_window;  // of the spike watch
  std::int64_t skipped_steps = 0;
  Json resolved = Json::object();  // threads, instruction_set, precision, micro_batch_size, ranks, build:
                                   // exactness needs them
  // Takes in the held-out loss of `step`; true when it is the lowest so far, by however little: that is kept.
  // Patience wants more, as in Keras: min_delta below the last loss that counted.
  bool remember(double loss, double min_delta);
  Json to_json() const;
  static TrainState from_json(const Json& json, const std::string& where);
};

// "threads 2 -> 4, ranks 1 -> 2": what differs from the run that wrote the checkpoint; empty when resume is
// bit-exact.
std::string exactness_difference(const Json& before, const Json& now);

// What steps: weights, moments, and averages where the recipe asks for them (then they are the model that is
// kept).
struct Trained {
  std::vector<Parameter>& parameters;
  Optimizer& optimizer;
  Averages* averages = nullptr;
};

class CheckpointWriter {
 public:
  // Model files are the task's, which outlives the writer.
  CheckpointWriter(const std::string& run_directory, const Task& task, std::string recipe_text,
                   FileSystem& files = real_file_system());
  ~CheckpointWriter();  // waits; errors were reported by wait()
  void save(const TrainState& state, const Trained& trained, std::int64_t keep_last, bool keep_best);
  void wait();        // until the write in flight is durable; rethrows its Error
  bool busy() const;  // one is in flight: save() would wait for it

 private:
  struct Worker;
  std::string directory_;
  const Task& task_;
  std::string recipe_text_;
  FileSystem& files_;
  std::unique_ptr<Worker> worker_;
};

// Loads weights, averages and optimizer state of a checkpoint into the records.
TrainState load_checkpoint(const std::string& path, const Task& task, const Trained& trained);
TrainState read_train_state(const std::string& path);

}  // namespace lathe
