#pragma once
// Task of pictures: a model that draws by text or by class learns to denoise (models/objectives/denoising.h).
// What is kept in a checkpoint, and so in a run, is a diffusers pipeline folder. Names of the records:
// transformer.<diffusers' name>, text_encoder.<transformers' name>; of networks of classes unet. or
// transformer.<diffusers' name>. With an adapter those are its factors, and a checkpoint is its folder
// (checkpoints/diffusion/adapter_folder.h), which names the base.
#include <unordered_map>

#include "data/images/picture_loader.h"
#include "models/diffusion/text_to_picture.h"
#include "models/objectives/denoising.h"
#include "trainer/pictures/latents.h"
#include "trainer/pictures/picture_source.h"
#include "trainer/pictures/prior.h"
#include "trainer/pictures/texts.h"
#include "trainer/plan/picture_memory.h"
#include "trainer/task.h"

namespace lathe {

class PictureTask final : public Task {
 public:
  PreparedPictures data;
  PictureModel plan;                   // its tensors: the base's, empty from scratch
  TextToPicture model;                 // in the run's precision
  std::optional<PeftAdapter> adapter;  // its settings, without tensors; then the base is frozen
  // A new word, whose vectors are all that is trained then; a checkpoint is its folder.
  struct NewWord {
    TextualInversion settings;          // without vectors
    std::int64_t first = 0, count = 0;  // its rows of the table
  };
  std::optional<NewWord> new_word;

  void prepare(Session& session, const Say& say) override;
  std::uint64_t rows_per_epoch() const override;
  std::uint64_t units_per_epoch() const override;
  std::string objection(Session& session, std::int64_t limit) override;
  void build(Session& session) override;

  void seek(std::uint64_t) override {}
  MicroBatchLoss loss(const Session& session, std::uint64_t first, std::int64_t count) override;
  std::vector<EvaluationMetrics> evaluate(Session& session) override;
  std::int64_t usual_evaluation(const Session& session) const override;

  std::vector<CheckpointFile> model_files(std::vector<BundleTensor> weights) const override;
  std::map<std::string, BundleTensor> read_weights(const std::string& checkpoint) const override;

  std::string unit() const override { return "pictures"; }
  void say_data(const Session& session, bool strict, const Say& say, const Say& warn) const override;
  std::vector<std::string> opening_lines(const Session& session) const override;
  std::string one_line(const EvaluationMetrics& metrics) const override;
  Json evaluated(const EvaluationMetrics& metrics) const override;
  Json identity(const Session& session) const override;
  std::int64_t parameters() const override;
  Json ledger() const override;
  std::int64_t peak_memory(const Session& session) const override;
  void before_first_step(Session& session, const Say& say) override;
  Json report(Session& session, const std::vector<PartResult>& others, const Say& say) override;
  Json export_run(Session& session, const Say& say) override;
  std::string next_commands(const Session& session) const override;

  // The grid of samples that the weights drew at `step`: at its evaluation, or now if they are still those;
  // undefined where neither can be.
  at::Tensor drawn_in_memory(Session& session, std::int64_t step);

  // What the network says of noisy pictures (B, c, H, W), without the captions that were dropped; `beside` as
  // PictureCondition has it.
  at::Tensor predict(const NoisyPictures& asked, const std::vector<std::string>& captions,
                     const at::Tensor& beside = {});

 private:
  // `set`: 0 what is trained on, from 1 on those of validation.
  ObjectiveValue denoise(const PictureBatch& batch, const DenoisingOptions& options, std::size_t set);
  void draw_grid(const Session& session, EvaluationMetrics& metrics);
  void add_new_word(const Recipe& recipe);
  void train_new_word(TextToPicture& full);
  PictureCondition condition(const std::vector<std::string>& captions,
                             const std::vector<std::uint8_t>& dropped);
  void make_prior(const Session& session);
  double mean_count(const Session& session, std::uint64_t first, std::int64_t count,
                    const PictureBatch& batch, std::int64_t counted);
  at::Tensor token_ids(const std::vector<std::string>& captions, const std::vector<std::uint8_t>& dropped);

  std::unique_ptr<PictureLoader> loader_;
  DenoisingOptions options_;
  PictureEncodings encodings_;  // of what the run reads, until build()
  LatentSource latents_;
  std::optional<PicturePlanSettings> expected_;  // where its memory is planned
  std::string unplanned_;                        // why it could not be, for the user
  std::optional<TextSource> texts_;              // where the text encoder is frozen
  std::unique_ptr<FrozenPrior> prior_;           // where the recipe asks for it
  std::uint64_t masked_step_ = ~std::uint64_t{0};
  double masked_values_ = 0;                  // under the masks of the rows of that step
  std::map<std::int64_t, at::Tensor> grids_;  // of the best step and the last, as drawn
  std::unordered_map<std::string, std::vector<std::int64_t>> rows_;  // token ids of the captions seen so far
};

}  // namespace lathe
