#include "trainer/pictures/picture_report.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cdist.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "trainer/pictures/picture_plan.h"
#include "trainer/pictures/sample_grid.h"
#include "trainer/report/format.h"
#include "trainer/session.h"

namespace lathe {

namespace {

constexpr std::int64_t kMostPictures = 1024, kSamples = 64;

// (B, c, H, W); of the first so many rows as stored, all of one size.
PictureBatch stored_pictures(const PictureSet& set) {
  const PictureLoader loader(set, 0, /*shuffle=*/false);
  const auto rows =
      static_cast<std::int64_t>(std::min<std::uint64_t>(loader.rows_per_epoch(), kMostPictures));
  return loader.read(0, loader.rows_of_one_size(0, rows));
}

// One of each: repeats of a source come again as rows.
PictureBatch distinct(const PictureBatch& batch) {
  PictureBatch kept = batch;
  kept.pixels.clear();
  kept.ids.clear();
  kept.captions.clear();
  const auto size = batch.pixels.size() / static_cast<std::size_t>(batch.count);
  for (std::size_t i = 0; i < batch.ids.size(); ++i) {
    if (std::find(kept.ids.begin(), kept.ids.end(), batch.ids[i]) != kept.ids.end()) continue;
    kept.ids.push_back(batch.ids[i]);
    kept.captions.push_back(batch.captions[i]);
    const auto begin = batch.pixels.begin() + static_cast<std::ptrdiff_t>(i * size);
    kept.pixels.insert(kept.pixels.end(), begin, begin + static_cast<std::ptrdiff_t>(size));
  }
  kept.count = static_cast<std::int64_t>(kept.ids.size());
  return kept;
}

at::Tensor distances(const at::Tensor& a, const at::Tensor& b) {  // (A, B)
  const at::Tensor x = a.flatten(1).to(at::kFloat), y = b.flatten(1).to(at::kFloat);
  return at::cdist(x, y, 2, /*compute_mode=*/2) / std::sqrt(static_cast<double>(x.size(1)));
}

double middle(const at::Tensor& values) { return values.median().item<double>(); }

// The base in the run's precision, so that rounding is no drift.
Json drift_report(const Session& session, PictureTask& task) {
  const Recipe& recipe = session.recipe();
  PriorSection section = recipe.prior;
  section.pictures = std::min<std::int64_t>(section.pictures, kSamples);
  section.per_picture = 1;
  DrawOptions draw = draw_options(recipe, task.plan, task.data);
  draw.seed += 1;  // other pictures than those that training held on to
  const auto type = session.precision == "bf16" ? at::kBFloat16 : at::kFloat;
  const FrozenPrior prior(build_picture_model(task.plan, type), section, draw);
  DenoisingOptions options = denoising_options(recipe, task.plan);
  options.timesteps = TimestepKind::Uniform;
  options.condition_dropout = 0;
  options.seed += 1;
  const PriorBatch old = prior.rows(0, section.pictures, options);
  const at::Tensor tuned = task.predict(old.asked, old.captions).to(at::kFloat);
  const double difference = (tuned - old.asked.target).square().mean().item<double>(),
               size = old.asked.target.square().mean().item<double>();
  return Json{{"prompts", section.pictures}, {"relative", std::sqrt(difference / std::max(size, 1e-30))}};
}

}  // namespace

Json copy_report(const at::Tensor& samples, const at::Tensor& training, const at::Tensor& held_out) {
  at::Tensor real;
  if (held_out.defined()) {
    real = std::get<0>(distances(held_out, training).min(1));
  } else {
    const at::Tensor apart = distances(training, training);
    apart.fill_diagonal_(INFINITY);
    real = std::get<0>(apart.min(1));
  }
  const at::Tensor nearest = std::get<0>(distances(samples, training).min(1));
  const double typical = middle(real);
  const auto copies = nearest.lt(typical / 2).sum().item<std::int64_t>();
  return Json{{"pictures", samples.size(0)},
              {"copies", copies},
              {"rate", static_cast<double>(copies) / static_cast<double>(samples.size(0))},
              {"nearest", middle(nearest)},
              {"real", typical},
              {"held_out", held_out.defined()}};
}

Json make_picture_report(Session& session, PictureTask& task, const Say& say) {
  const Recipe& recipe = session.recipe();
  if (recipe.model.path.empty()) return nullptr;
  const PictureBatch training = distinct(stored_pictures(task.data.train));
  if (training.count < 2 || training.height != task.data.height || training.width != task.data.width)
    return nullptr;
  say(cat("drawing ", kSamples, " pictures to look for copies",
          recipe.prior.prompts.empty() ? "" : " and for drift"));
  const at::NoGradGuard no_grad;
  const AveragesInUse averages(session.averages.get(), session.parameters);
  std::vector<std::string> prompts;
  std::vector<std::uint64_t> numbers(kSamples);
  std::iota(numbers.begin(), numbers.end(), std::uint64_t{0});
  for (std::size_t i = 0; i < static_cast<std::size_t>(kSamples); ++i)
    prompts.push_back(training.captions[i % training.captions.size()]);
  const DrawOptions draw = draw_options(recipe, task.plan, task.data);
  const at::Tensor samples =
      task.model.to_pictures(draw_pictures(task.model, prompts, numbers, draw)).clamp(-1, 1);
  at::Tensor held;
  if (!task.data.validation.empty()) {
    const PictureBatch batch = stored_pictures(task.data.validation.front());
    if (batch.height == training.height && batch.width == training.width) held = to_tensor(batch);
  }
  Json report{{"format", "lathe-picture-report"},
              {"version", 1},
              {"copies", copy_report(samples, to_tensor(training), held)}};
  if (!recipe.prior.prompts.empty()) report["prior_drift"] = drift_report(session, task);
  const Json& copies = report["copies"];
  report["verdict"] = cat(
      copies["copies"].get<std::int64_t>(), " of ", kSamples, " samples of the training captions are copies",
      report.contains("prior_drift")
          ? cat("; old prompts are predicted ",
                format_fixed(100 * report["prior_drift"]["relative"].get<double>(), 1), " % off the base")
          : "");
  write_file_atomically(session.run.path + "/report.json", report.dump(1) + "\n");
  return report;
}

}  // namespace lathe
