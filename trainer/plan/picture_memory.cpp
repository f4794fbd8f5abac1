#include "trainer/plan/picture_memory.h"

#include <algorithm>
#include <functional>

#include "data/images/buckets.h"
#include "recipes/schema/error.h"
#include "trainer/pictures/picture_base.h"
#include "trainer/pictures/picture_source.h"
#include "trainer/plan/picture_rehearsal.h"
#include "trainer/report/metrics.h"

namespace lathe {

namespace {

// oneDNN's code for the shapes of bf16 products and convolutions.
constexpr std::int64_t kGeneratedCode = 24 << 20;

}  // namespace

std::int64_t report_samples(const Recipe& recipe) {
  const bool world = std::ranges::any_of(
      recipe.data.train, [](const SourceSection& source) { return !source.generate.empty(); });
  return recipe.model.path.empty() && world ? 0 : 64;
}

std::string not_planned(const Recipe& recipe, const PictureModel& model) {
  if (model.fills_in()) return "networks that fill in are";
  if (recipe.adapter.kind == "dora" || recipe.adapter.text_encoder)
    return "DoRA and adapters of text encoders are";
  if (!recipe.adapter.kind.empty() && !model.unet) return "adapters of the MM-DiT are";
  if (adapts_convolutions(recipe, model)) return "adapters of convolutions are";
  if (!recipe.textual_inversion.token.empty()) return "new words are";
  if (recipe.prior.weight > 0) return "a prior is";
  return "";
}

PicturePlanSettings picture_plan_settings(const Recipe& recipe, const PictureModel& model,
                                          const RunSettings& run) {
  PicturePlanSettings settings;
  static_cast<RunSettings&>(settings) = run;
  const PictureSize size = nominal_size(recipe.data);  // buckets keep the area
  settings.height = size.height;
  settings.width = size.width;
  settings.grid = recipe.diffusion.sampling.count;
  settings.copies = report_samples(recipe);
  settings.guided = recipe.diffusion.sampling.guidance != 1 && (model.by_text() || model.class_rows() > 0);
  for (const ExportSection& target : recipe.exports)
    settings.exported = std::max(settings.exported, target.dtype == "fp32" || target.dtype == "auto" ? 1 : 2);
  settings.frozen = recipe.model.freeze;
  if (model.vae) {
    settings.height /= model.vae->halvings();
    settings.width /= model.vae->halvings();
    settings.frozen.emplace_back("text_encoder");  // PictureTask::build()
  }
  settings.adapted = adapted_modules(recipe, model);
  return settings;
}

Plan make_picture_plan(const PictureModel& model, const PicturePlanSettings& settings) {
  const LayerList layers(model, settings.frozen, settings.adapted, settings.adapter_rank);
  Plan plan;
  plan.parameters = layers.parameters();
  plan.trained = value_count(layers.trained());
  const AllocatorBooks::Totals peak = rehearse_pictures(model, layers, settings);
  const auto of = [&](Use use) { return peak.mapped[static_cast<std::size_t>(use)]; };
  plan.parts = {{"program", program_bytes()},      {"generated code", settings.bf16 ? kGeneratedCode : 0},
                {"weights", of(Use::Weights)},     {"gradients", of(Use::Gradients)},
                {"optimizer", of(Use::Optimizer)}, {"activations", of(Use::Activations)},
                {"loss", of(Use::Loss)},           {"checkpoint copy", of(Use::CheckpointCopy)}};
  for (const PlanPart& part : plan.parts) plan.peak_bytes += part.bytes;
  return plan;
}

std::string picture_advice_to_fit(const PictureModel& model, const PicturePlanSettings& settings,
                                  std::int64_t limit) {
  const auto fits = [&](const PicturePlanSettings& changed) {
    return make_picture_plan(model, changed).peak_bytes <= limit;
  };
  const Plan plan = make_picture_plan(model, settings);
  if (plan.peak_bytes <= limit) return "";
  const std::string found = cat("this run needs about ", format_bytes(static_cast<double>(plan.peak_bytes)),
                                " of memory and ", format_bytes(static_cast<double>(limit)), " are there; ");
  const std::int64_t share = settings.global_batch_size / settings.world_size;
  PicturePlanSettings smaller = settings;
  for (const std::int64_t grid : {settings.grid, std::min<std::int64_t>(settings.grid, 4)}) {
    for (std::int64_t micro = settings.micro_batch_size; micro >= 1; --micro) {
      if (share % micro != 0) continue;
      smaller.micro_batch_size = micro;
      smaller.grid = grid;
      if (!fits(smaller)) continue;
      std::string change = grid < settings.grid ? cat("diffusion.sampling.count: ", grid) : "";
      if (micro < settings.micro_batch_size)
        change += cat(change.empty() ? "" : " with ", "train.micro_batch_size: ", micro);
      return cat(found, change, " would fit");
    }
  }
  const std::int64_t step = side_step(model), scale = model.vae ? model.vae->halvings() : 1;
  for (std::int64_t part = 2; settings.height % part == 0 && settings.width % part == 0; part *= 2) {
    smaller.height = settings.height / part;
    smaller.width = settings.width / part;
    const std::int64_t height = smaller.height * scale, width = smaller.width * scale;  // of the pictures
    if (std::min(smaller.height, smaller.width) < 8 || height % step != 0 || width % step != 0) break;
    if (!fits(smaller)) continue;
    return cat(found, "data.resolution: [", width, ", ", height, "] with train.micro_batch_size: 1",
               smaller.grid < settings.grid ? cat(" and diffusion.sampling.count: ", smaller.grid) : "",
               " would fit");
  }
  return found + "no micro-batch and no resolution fits: choose a smaller model";
}

}  // namespace lathe
