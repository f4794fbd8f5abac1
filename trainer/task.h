#pragma once
// What is trained: data, model, what a micro-batch costs, how it is judged, kept, exported and told. The loop
// (train.h), the session and the commands know a run only by this; one class for texts (text/text_task.h),
// one for pictures (pictures/picture_task.h). Called by one thread of each rank, in the order of the sections
// below; model_files() also by the thread that writes checkpoints.
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "checkpoints/bundle/tensor.h"
#include "checkpoints/store/store.h"
#include "models/objectives/objective.h"
#include "trainer/report/metrics.h"

namespace lathe {

struct Recipe;
struct PartResult;
struct Session;
using Say = std::function<void(const std::string&)>;

struct MicroBatchLoss {
  ObjectiveValue value;
  std::int64_t units = 0;  // tokens or pictures, padding left out
  double waited = 0;       // seconds until its data was there
};

class Task {
 public:
  virtual ~Task() = default;

  // --- opening a run
  // Data, and the model's spec. On the leader first; the other ranks then find everything ready.
  // session.recipe() may get what only the data can say (how long tuning lasts).
  virtual void prepare(Session& session, const Say& say) = 0;
  virtual std::uint64_t rows_per_epoch() const = 0;
  virtual std::uint64_t units_per_epoch() const = 0;
  // Why this run cannot fit in `limit` bytes and what to change; empty when it does.
  virtual std::string objection(Session& session, std::int64_t limit) = 0;
  // The model, and the records of what is trained in session.parameters.
  virtual void build(Session& session) = 0;

  // --- the loop
  virtual void seek(std::uint64_t cursor) = 0;  // rows of the global order consumed so far
  // Rows [first, first + count) of the order: the sum over their targets, for backward.
  virtual MicroBatchLoss loss(const Session& session, std::uint64_t first, std::int64_t count) = 0;
  virtual std::vector<EvaluationMetrics> evaluate(
      Session& session) = 0;  // of each validation set; samples on the leader
  // Steps between evaluations where the recipe does not say; 0: at the end only.
  virtual std::int64_t usual_evaluation(const Session& session) const = 0;

  // --- checkpoints
  virtual std::vector<CheckpointFile> model_files(std::vector<BundleTensor> weights) const = 0;
  // The records' values in a checkpoint's model files, by name.
  virtual std::map<std::string, BundleTensor> read_weights(const std::string& checkpoint) const = 0;

  // --- telling
  virtual std::string unit() const = 0;  // "tokens" or "pictures"
  // What the data is like; `warn` gets its errors alone, which a quiet run tells too. An Error stops a strict
  // run.
  virtual void say_data(const Session& session, bool strict, const Say& say, const Say& warn) const = 0;
  virtual std::vector<std::string> opening_lines(const Session& session) const = 0;
  virtual std::string one_line(const EvaluationMetrics& metrics) const = 0;
  virtual Json evaluated(const EvaluationMetrics& metrics) const = 0;  // beside the loss, for result.json
  virtual Json identity(
      const Session& session) const = 0;  // of run.json: hashes of data and base, parameters
  virtual std::int64_t parameters() const = 0;
  virtual Json ledger() const = 0;
  virtual std::int64_t peak_memory(const Session& session) const = 0;  // as planned, bytes; 0: not planned
  // Seconds of training left, from a short timing of this machine; 0: not known before it trains.
  virtual double expected_seconds(const Session&) const { return 0; }
  virtual void before_first_step(Session& session, const Say& say) = 0;  // leader
  // After the end, on the leader: a report of its own, or null; then the exports, which may
  // let go of the model and the session's records.
  virtual Json report(Session& session, const std::vector<PartResult>& others, const Say& say) = 0;
  virtual Json export_run(Session& session, const Say& say) = 0;
  virtual std::string next_commands(const Session& session) const = 0;
};

std::unique_ptr<Task> make_task(const Recipe& recipe);

}  // namespace lathe
