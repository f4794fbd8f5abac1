#pragma once
// What a run that trains pictures will need, as plan.h tells it of texts: the networks' operations in their
// order on the allocator's books, for training steps, grids of samples, a checkpoint's copy and exports.
#include <string>
#include <vector>

#include "checkpoints/diffusion/pipeline.h"
#include "trainer/plan/plan.h"

namespace lathe {

struct PicturePlanSettings : RunSettings {
  std::int64_t height = 0, width = 0;  // of what is noised
  std::int64_t grid = 0;               // pictures of a grid of samples; 0: none is drawn
  std::int64_t copies = 0;             // report_samples()
  bool guided = false;                 // each of them is drawn with the condition and without
  int exported = 0;                    // models in fp32 beside the trained one while exports are compared
  std::vector<std::string> frozen;     // parts of names whose parameters are not trained
  std::vector<std::string> adapted;    // modules with an adapter, where adapter_rank > 0
};
PicturePlanSettings picture_plan_settings(const Recipe& recipe, const PictureModel& model,
                                          const RunSettings& run);

// Samples that are drawn at the end to look for copies of training pictures: none of a run from scratch on a
// drawn world, whose pictures are alike.
std::int64_t report_samples(const Recipe& recipe);

// What of such a run is not planned, so that nothing is; empty where it is.
std::string not_planned(const Recipe& recipe, const PictureModel& model);

Plan make_picture_plan(const PictureModel& model, const PicturePlanSettings& settings);

// As advice_to_fit() of texts. Changes that leave the weights alone come first: smaller micro-batches,
// smaller grids of samples; then a smaller resolution.
std::string picture_advice_to_fit(const PictureModel& model, const PicturePlanSettings& settings,
                                  std::int64_t limit);

}  // namespace lathe
