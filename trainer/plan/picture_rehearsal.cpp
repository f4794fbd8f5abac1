#include "trainer/plan/picture_rehearsal.h"

#include <algorithm>
#include <utility>

#include "models/diffusion/drawn_at_once.h"
#include "recipes/schema/error.h"
#include "trainer/plan/network_memory.h"

namespace lathe {

namespace {

using Held = AllocatorBooks::Held;

constexpr std::int64_t kDecoded = 4;  // models/diffusion/text_to_picture.cpp: latents at once

class PictureRehearsal {
 public:
  PictureRehearsal(const PictureModel& model, const LayerList& layers, const PicturePlanSettings& settings)
      : model_(model),
        layers_(layers),
        settings_(settings),
        precision_{settings.bf16, settings.tiled_attention},
        books_(slack_of_training(settings.adapter_rank > 0)),
        state_(books_, layers.trained(), settings) {}

  AllocatorBooks::Totals run() {
    construct();
    step();
    step();
    draw(precision_);
    if (!settings_.saves_between) books_.release_free();  // trainer/train.cpp, finish()
    std::vector<Held> copy = state_.checkpoint_copy();
    if (settings_.saves_between) step();  // the copy is written while training goes on
    copy.clear();
    export_run();
    return books_.at_peak();
  }

 private:
  std::vector<Held> network(std::int64_t element) {
    std::vector<Held> weights;
    for (const std::int64_t size : layers_.sizes())
      weights.push_back(books_.take(size * element, Use::Weights));
    return weights;
  }

  // PictureTask::build(): what is exact, and its rounded copy; of what is frozen the rounded one alone stays.
  void construct() {
    for (const std::int64_t size : layers_.vae_sizes())
      weights_.push_back(books_.take(size * 4, Use::Weights));
    std::vector<Held> exact = network(4);
    if (settings_.bf16) {
      const std::vector<Held> used = network(2);
      weights_.insert(weights_.end(), used.begin(), used.end());
    }
    if (settings_.adapter_rank > 0) state_.take_adapters();
    state_.take_masters();
    if (settings_.bf16 && settings_.adapter_rank > 0)
      exact.clear();
    else if (settings_.bf16 && state_.parameters() < layers_.parameters()) {
      exact.clear();
      for (const TrainedMatrix& matrix : layers_.trained())
        exact.push_back(books_.take(matrix.size() * 4, Use::Weights));
    }
    weights_.insert(weights_.end(), exact.begin(), exact.end());
    state_.take_moments();
  }

  PlannedBatch pictures(std::int64_t count) const { return {count, settings_.height, settings_.width}; }

  // Pictures, noise and targets in fp32 (models/objectives/denoising.cpp).
  std::vector<Held> asked(std::int64_t count) {
    const std::int64_t bytes = pictures(count).places() * model_channels() * 4;
    return {books_.take(bytes, Use::Loss), books_.take(bytes, Use::Loss), books_.take(bytes, Use::Loss)};
  }
  std::int64_t model_channels() const {
    return model_.unet  ? model_.unet->out_channels
           : model_.dit ? model_.dit->out_channels
                        : model_.transformer.out_channels;
  }

  void step() {
    std::vector<GradientBlock> gradients;
    std::vector<Held> sums;
    for (std::int64_t pass = 0; pass < std::min<std::int64_t>(state_.passes(), 3); ++pass) {
      const std::vector<Held> noisy = asked(settings_.micro_batch_size);
      LayerTape tape(books_, layers_, precision_, /*recording=*/true);
      tape.learn(plan_prediction(tape, model_, pictures(settings_.micro_batch_size)));
      gradients = std::move(tape.gradients);
      if (state_.passes() > 1) state_.accumulate(gradients, sums);
    }
    require_all(gradients, sums);
    if (settings_.muon) state_.orthogonalise();
  }

  // Every weight that is trained has got its gradient, or the plan is of another network.
  void require_all(const std::vector<GradientBlock>& gradients, const std::vector<Held>& sums) const {
    if (!sums.empty()) return;
    std::int64_t found = 0;
    for (const GradientBlock& block : gradients)
      for (const std::int64_t part : block.parts) found += part;
    require(found == state_.parameters(), "plan: gradients of ", found, " values, and ", state_.parameters(),
            " are trained");
  }

  // trainer/pictures/sample_grid.cpp
  void draw(PlannedPrecision precision) {
    const std::int64_t drawn = std::min(drawn_at_once(settings_.height, settings_.width),
                                        std::max(settings_.grid, settings_.copies));
    if (drawn == 0) return;
    const std::int64_t count = settings_.guided ? 2 * drawn : drawn;
    const std::vector<Held> noise = asked(count);
    {
      LayerTape tape(books_, layers_, precision, /*recording=*/false);
      plan_prediction(tape, model_, pictures(count));
    }
    if (!model_.vae) return;
    const std::int64_t side = model_.vae->halvings(), values = pictures(drawn).places() * side * side * 3;
    const Held shown = books_.take(values * 4, Use::Activations);
    LayerTape tape(books_, layers_, {.bf16 = false, .tiled = false}, /*recording=*/false);
    plan_decoding(tape, *model_.vae, pictures(std::min(drawn, kDecoded)));
  }

  // trainer/export_pictures.cpp, trainer/pictures/exported_grid.cpp: what was written is read back in fp32.
  void export_run() {
    if (settings_.exported == 0) return;
    const std::vector<Held> exported = network(4),
                            exact = settings_.exported > 1 ? network(4) : std::vector<Held>();
    draw({.bf16 = false, .tiled = false});
  }

  const PictureModel& model_;
  const LayerList& layers_;
  const PicturePlanSettings& settings_;
  PlannedPrecision precision_;
  AllocatorBooks books_;  // before all that is held
  TrainedState state_;
  std::vector<Held> weights_;
};

}  // namespace

AllocatorBooks::Totals rehearse_pictures(const PictureModel& model, const LayerList& layers,
                                         const PicturePlanSettings& settings) {
  return PictureRehearsal(model, layers, settings).run();
}

}  // namespace lathe
