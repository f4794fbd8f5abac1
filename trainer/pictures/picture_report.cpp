#include "trainer/pictures/picture_report.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cdist.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "models/diffusion/drawn_at_once.h"
#include "trainer/pictures/picture_plan.h"
#include "trainer/pictures/sample_grid.h"
#include "trainer/report/format.h"
#include "trainer/session.h"

namespace lathe {

namespace {

constexpr std::size_t kMostPictures = 1024, kMostValues = std::size_t{1} << 26;

// The pictures of one set and one size, each variant (crop, mirrored) once whatever its repeats.
struct StoredPictures {
  std::int64_t height = 0, width = 0;
  at::Tensor pictures;  // (N, c, H, W)
  std::vector<std::int64_t> numbers;
  std::vector<std::string> captions;  // a picture each, not a variant
};

// Of the size that most of them have, or of the given one; evenly spread when there are more than are looked
// at.
StoredPictures stored_pictures(const PictureSet& set, std::int64_t height = 0, std::int64_t width = 0) {
  const PictureLoader loader(set, 0, /*shuffle=*/false);
  std::map<std::pair<std::int64_t, std::int64_t>, std::vector<std::uint64_t>> of_size;
  for (std::uint64_t at = 0; at < loader.rows_per_epoch();) {
    const auto left = static_cast<std::int64_t>(loader.rows_per_epoch() - at);
    const std::int64_t rows = loader.rows_of_one_size(at, left);
    const PictureBatch one = loader.read(at, 1);
    std::set<std::uint64_t> seen;
    std::vector<std::uint64_t>& distinct = of_size[{one.height, one.width}];
    for (std::int64_t i = 0; i < rows; ++i, ++at)
      if (seen.insert(loader.preview(at).id).second) distinct.push_back(at);
  }
  const std::vector<std::uint64_t>* chosen = nullptr;
  for (const auto& [size, rows] : of_size)
    if (height == 0 ? !chosen || rows.size() > chosen->size() : size == std::pair(height, width))
      chosen = &rows;
  StoredPictures stored;
  if (!chosen) return stored;
  const auto values = loader.read(chosen->front(), 1).pixels.size();
  const std::size_t count =
      std::min({chosen->size(), kMostPictures, std::max<std::size_t>(1, kMostValues / values)});
  std::vector<at::Tensor> pictures;
  std::set<std::int64_t> known;
  for (std::size_t i = 0; i < count; ++i) {
    const PictureBatch one = loader.read((*chosen)[i * chosen->size() / count], 1);
    pictures.push_back(to_tensor(one));
    stored.numbers.push_back(static_cast<std::int64_t>(picture_number(one.ids.front())));
    if (known.insert(stored.numbers.back()).second) stored.captions.push_back(one.captions.front());
    stored.height = one.height;
    stored.width = one.width;
  }
  stored.pictures = at::cat(pictures);
  return stored;
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
  section.pictures = std::min(section.pictures, report_samples(recipe));
  section.per_picture = 1;
  DrawOptions draw = draw_options(recipe, task.plan, task.data);
  draw.seed += 1;  // other pictures than those that training held on to
  const auto type = session.precision == "bf16" ? at::kBFloat16 : at::kFloat;
  const FrozenPrior prior(build_picture_model(task.plan, type), section, draw);
  DenoisingOptions options = denoising_options(recipe, task.plan);
  options.timesteps = TimestepKind::Uniform;
  options.condition_dropout = 0;
  options.seed += 1;
  const auto shape = task.model.latent_shape(draw.height, draw.width);
  const std::int64_t batch = drawn_at_once(shape[1], shape[2]);
  double difference = 0, size = 0;
  for (std::int64_t first = 0; first < section.pictures; first += batch) {
    const std::int64_t count = std::min(batch, section.pictures - first);
    const PriorBatch old = prior.rows(static_cast<std::uint64_t>(first), count, options);
    const at::Tensor tuned = task.predict(old.asked, old.captions, old.beside).to(at::kFloat);
    difference += (tuned - old.asked.target).square().sum().item<double>();
    size += old.asked.target.square().sum().item<double>();
  }
  return Json{{"pictures", section.pictures}, {"relative", std::sqrt(difference / std::max(size, 1e-30))}};
}

std::string verdict_on(const Json& report) {
  const Json& copies = report["copies"];
  const auto count = copies["pictures"].get<std::int64_t>(), broken = copies["broken"].get<std::int64_t>();
  if (broken > 0)
    return cat(broken, " of ", count, " samples hold values that are no numbers: the weights are broken");
  std::string text = cat(copies["copies"].get<std::int64_t>(), " of ", count,
                         " samples of the training captions are copies");
  if (!report.contains("prior_drift")) return text;
  const double drift = report["prior_drift"]["relative"].get<double>();
  return text + cat("; old prompts are predicted ", format_fixed(100 * drift, 1), " % off the base");
}

}  // namespace

Json copy_report(const at::Tensor& samples, const at::Tensor& training,
                 const std::vector<std::int64_t>& numbers, const at::Tensor& held_out) {
  at::Tensor real;
  if (held_out.defined()) {
    real = std::get<0>(distances(held_out, training).min(1));
  } else {
    const at::Tensor number = at::tensor(numbers);
    const at::Tensor apart = distances(training, training);  // variants of one picture are no two pictures
    real = std::get<0>(apart.masked_fill(number.unsqueeze(0).eq(number.unsqueeze(1)), INFINITY).min(1));
  }
  const at::Tensor nearest = std::get<0>(distances(samples, training).min(1));
  const double typical = middle(real);
  const auto broken = samples.flatten(1).isfinite().all(1).logical_not().sum().item<std::int64_t>();
  const auto copies = nearest.lt(typical / 2).sum().item<std::int64_t>();
  return Json{{"pictures", samples.size(0)},
              {"copies", copies},
              {"broken", broken},
              {"rate", static_cast<double>(copies) / static_cast<double>(samples.size(0))},
              {"nearest", middle(nearest)},
              {"real", typical},
              {"held_out", held_out.defined()}};
}

Json make_picture_report(Session& session, PictureTask& task, const Say& say) {
  const Recipe& recipe = session.recipe();
  const std::int64_t count = report_samples(recipe);
  if (count == 0) return nullptr;
  const StoredPictures training = stored_pictures(task.data.train);
  if (training.captions.size() < 2) return nullptr;  // nothing to compare with
  say(cat("drawing ", count, " pictures to look for copies",
          recipe.prior.prompts.empty() ? "" : " and for drift"));
  const at::NoGradGuard no_grad;
  const AveragesInUse averages(session.averages.get(), session.parameters);
  std::vector<std::string> prompts;
  std::vector<std::uint64_t> numbers(static_cast<std::size_t>(count));
  std::iota(numbers.begin(), numbers.end(), std::uint64_t{0});
  for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i)
    prompts.push_back(training.captions[i % training.captions.size()]);
  DrawOptions draw = draw_options(recipe, task.plan, task.data);
  draw.height = training.height;
  draw.width = training.width;
  const at::Tensor samples =
      task.model.to_pictures(draw_pictures(task.model, prompts, numbers, draw)).clamp(-1, 1);
  StoredPictures held;
  if (!task.data.validation.empty())
    held = stored_pictures(task.data.validation.front(), training.height, training.width);
  Json report{{"format", "lathe-picture-report"},
              {"version", 1},
              {"copies", copy_report(samples, training.pictures, training.numbers, held.pictures)},
              {"looked_at", training.numbers.size()},
              {"width", training.width},
              {"height", training.height}};
  if (!recipe.prior.prompts.empty()) report["prior_drift"] = drift_report(session, task);
  report["verdict"] = verdict_on(report);
  write_file_atomically(session.run.path + "/report.json", report.dump(1) + "\n");
  return report;
}

}  // namespace lathe
