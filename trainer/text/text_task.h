#pragma once
// Task of texts: pretraining and tuning of a decoder. The functions of text/ and export.h that need more than
// a Session take it beside one.
#include "checkpoints/formats/peft.h"
#include "data/pipeline/loader.h"
#include "models/decoder/decoder.h"
#include "trainer/checks.h"
#include "trainer/plan/plan.h"
#include "trainer/task.h"

namespace lathe {

class TextTask final : public Task {
 public:
  PreparedData data;
  ModelPlan plan;
  PlanSettings expected;  // what its memory is planned from
  std::shared_ptr<Decoder> model;
  std::vector<BundleTensor>
      frozen;  // of a partly trained model: what is not in the records, read when written
  std::optional<PeftAdapter>
      adapter;  // its settings: then checkpoints hold the adapter alone, as a PEFT folder
  bool tuning() const { return data.tuning != nullptr; }

  void prepare(Session& session, const Say& say) override;
  std::uint64_t rows_per_epoch() const override;
  std::uint64_t units_per_epoch() const override;
  std::string objection(Session& session, std::int64_t limit) override;
  void build(Session& session) override;

  void seek(std::uint64_t cursor) override;
  MicroBatchLoss loss(const Session& session, std::uint64_t first, std::int64_t count) override;
  std::vector<EvaluationMetrics> evaluate(Session& session) override;
  std::int64_t usual_evaluation(const Session& session) const override;

  std::vector<CheckpointFile> model_files(std::vector<BundleTensor> weights) const override;
  std::map<std::string, BundleTensor> read_weights(const std::string& checkpoint) const override;

  std::string unit() const override { return "tokens"; }
  void say_data(const Session& session, bool strict, const Say& say, const Say& warn) const override;
  std::vector<std::string> opening_lines(const Session& session) const override;
  std::string one_line(const EvaluationMetrics& metrics) const override;
  Json evaluated(const EvaluationMetrics& metrics) const override;
  Json identity(const Session& session) const override;
  std::int64_t parameters() const override;
  Json ledger() const override;
  std::int64_t peak_memory(const Session& session) const override;
  double expected_seconds(const Session& session) const override;
  void before_first_step(Session& session, const Say& say) override;
  Json report(Session& session, const std::vector<PartResult>& others, const Say& say) override;
  Json export_run(Session& session, const Say& say) override;
  std::string next_commands(const Session& session) const override;

 private:
  std::unique_ptr<Loader> loader_;
};

// How a recipe's training rows are read.
LoaderOptions loader_options(const Recipe& recipe);

// "source NAME: 40 % of the rows, 1.6 epochs": a line each where there are several, over a run of `rows`.
std::vector<std::string> source_lines(const Recipe& recipe, const Loader& loader, std::uint64_t rows);

// Tuning without an end of its own: about 100 optimizer updates, at least 3 and at most 15 epochs; of all
// weights, at their lower rate, twice as many.
void choose_tuning_length(TrainSection& train, std::uint64_t rows, bool adapter);

}  // namespace lathe
