// What a network of pictures learns from and is judged by: its loss, validation in bands of noise, samples.
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "trainer/masters.h"
#include "trainer/pictures/picture_task.h"
#include "trainer/pictures/sample_grid.h"
#include "trainer/session.h"

namespace lathe {

namespace {

constexpr int kBands = 4;  // of noise, in which validation is told apart

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

at::Tensor PictureTask::predict(const NoisyPictures& asked, const std::vector<std::string>& captions,
                                const at::Tensor& beside) {
  PictureCondition by = condition(captions, asked.dropped);
  by.beside = beside;
  return model.predict(asked.noisy, asked.times, by);
}

at::Tensor PictureTask::token_ids(const std::vector<std::string>& captions,
                                  const std::vector<std::uint8_t>& dropped) {
  const std::int64_t length = plan.text_encoder.max_positions;
  at::Tensor ids = at::empty({static_cast<std::int64_t>(captions.size()), length}, at::kLong);
  for (std::size_t i = 0; i < captions.size(); ++i) {
    const std::string& caption = dropped[i] ? std::string() : captions[i];
    std::vector<std::int64_t>& row = rows_[caption];
    if (row.empty()) {
      const at::Tensor one = token_rows(*plan.tokenizer, plan.text_encoder, {caption});
      row.assign(one.const_data_ptr<std::int64_t>(), one.const_data_ptr<std::int64_t>() + length);
    }
    std::copy(row.begin(), row.end(), ids.data_ptr<std::int64_t>() + static_cast<std::int64_t>(i) * length);
  }
  return ids;
}

PictureCondition PictureTask::condition(const std::vector<std::string>& captions,
                                        const std::vector<std::uint8_t>& dropped) {
  if (model.by_text() && !texts_) return {model.text(token_ids(captions, dropped)), {}, {}};
  std::vector<std::string> asked = captions;
  for (std::size_t i = 0; i < asked.size(); ++i)
    if (dropped[i]) asked[i].clear();
  if (!texts_) return model.condition(asked);  // of classes
  const auto encode = [&](const std::string& caption) { return model.text(token_ids({caption}, {0})); };
  return {texts_->read(asked, model.text_encoder->parameters().front().scalar_type(), encode), {}, {}};
}

ObjectiveValue PictureTask::denoise(const PictureBatch& batch, const DenoisingOptions& options,
                                    std::size_t set) {
  const NoisyPictures asked = add_noise(latents_.read(batch, set), batch.ids, batch.visits, options);
  const at::Tensor beside = plan.fills_in() ? latents_.beside(batch) : at::Tensor();
  return denoising_loss(predict(asked, batch.captions, beside), asked, latents_.mask(batch));
}

MicroBatchLoss PictureTask::loss(const Session& session, std::uint64_t first, std::int64_t count) {
  const auto start = std::chrono::steady_clock::now();
  const PictureBatch batch = loader_->read(first, count);
  const double waited = seconds_since(start);
  MicroBatchLoss loss{denoise(batch, options_, 0), count, waited};
  if (!prior_) return loss;
  // As a mean over the old pictures beside the mean over the new: the trainer divides by the count of the
  // new of the whole step, which masks leave unlike in its parts.
  const PriorBatch old = prior_->rows(first, count, options_);
  const ObjectiveValue kept = denoising_loss(predict(old.asked, old.captions, old.beside), old.asked);
  const double share =
      mean_count(session, first, count, batch, loss.value.count) / static_cast<double>(kept.count);
  loss.value.sum = loss.value.sum + kept.sum * (prior_->weight() * share);
  return loss;
}

// The count of the step's loss that falls to `count` of its rows in the mean.
double PictureTask::mean_count(const Session& session, std::uint64_t first, std::int64_t count,
                               const PictureBatch& batch, std::int64_t counted) {
  const auto rows = static_cast<std::uint64_t>(session.recipe().train.global_batch_size);
  if (batch.masks.empty() || static_cast<std::uint64_t>(count) == rows) return static_cast<double>(counted);
  if (const std::uint64_t step = first / rows; step != masked_step_) {
    const PictureBatch whole = loader_->read(step * rows, static_cast<std::int64_t>(rows));
    masked_values_ = latents_.mask(whole).sum().item<double>() * static_cast<double>(model.channels());
    masked_step_ = step;
  }
  return masked_values_ * static_cast<double>(count) / static_cast<double>(rows);
}

// Fixed noise and times for each picture, a share of them in each band of noise; the same at every step.
std::vector<EvaluationMetrics> PictureTask::evaluate(Session& session) {
  const at::NoGradGuard no_grad;
  const auto start = std::chrono::steady_clock::now();
  std::vector<EvaluationMetrics> results;
  const auto world = static_cast<std::uint64_t>(session.ranks->info().world_size);
  const auto micro = static_cast<std::uint64_t>(session.micro_batch_size);
  for (const PictureSet& set : data.validation) {
    const PictureLoader loader(set, 0, /*shuffle=*/false);
    std::uint64_t rows = loader.rows_per_epoch();
    if (const auto most = session.recipe().evaluate.max_rows; most > 0)
      rows = std::min(rows, static_cast<std::uint64_t>(most));
    std::vector<double> sums(2 * kBands);
    // Bands are of the noise that pictures get, which a flow's shift moves: its inverse has 1 / shift.
    const auto share_of_noise = [&](double sigma) {
      return plan.schedule.kind == NoiseKind::Flow ? shift_sigma(sigma, 1 / plan.schedule.shift) : sigma;
    };
    const auto judge = [&](const PictureBatch& batch) {
      for (int band = 0; band < kBands; ++band) {
        DenoisingOptions options = options_;
        options.timesteps = TimestepKind::Uniform;
        options.from = share_of_noise(static_cast<double>(band) / kBands);
        options.until = share_of_noise(static_cast<double>(band + 1) / kBands);
        options.condition_dropout = 0;
        options.min_snr_gamma = 0;
        const ObjectiveValue value = denoise(batch, options, 1 + results.size());
        sums[static_cast<std::size_t>(2 * band)] += value.sum.item<double>();
        sums[static_cast<std::size_t>(2 * band + 1)] += static_cast<double>(value.count);
      }
    };
    for (std::uint64_t first = static_cast<std::uint64_t>(session.ranks->info().rank) * micro; first < rows;
         first += world * micro) {
      const std::uint64_t end = std::min(rows, first + micro);
      for (std::uint64_t at = first; at < end;) {  // of several sizes: one after the other
        const std::int64_t part = loader.rows_of_one_size(at, static_cast<std::int64_t>(end - at));
        judge(loader.read(at, part));
        at += static_cast<std::uint64_t>(part);
      }
    }
    sums = session.ranks->sum(sums);
    EvaluationMetrics metrics;
    metrics.set = set.name;
    metrics.tokens = static_cast<std::int64_t>(rows);
    Json bands = Json::array();
    double total = 0, count = 0;
    for (std::size_t band = 0; band < kBands; ++band) {
      bands.push_back(sums[2 * band] / std::max(1.0, sums[2 * band + 1]));
      total += sums[2 * band];
      count += sums[2 * band + 1];
    }
    metrics.loss = total / std::max(1.0, count);
    metrics.details = Json{{"loss_by_noise", bands}};
    metrics.seconds = seconds_since(start);
    results.push_back(metrics);
  }
  if (session.state.step == 0) return results;
  if (results.empty()) results.emplace_back();    // samples alone
  session.ranks->leader_alone("drawing samples",  // however long it takes
                              [&] { draw_grid(session, results.front()); });
  return results;
}

void PictureTask::draw_grid(const Session& session, EvaluationMetrics& metrics) {
  const std::int64_t step = session.state.step;
  const at::Tensor drawn = draw_sample_grid(session.recipe(), *this, model);
  char name[32];
  std::snprintf(name, sizeof name, "step-%08lld", static_cast<long long>(step));
  metrics.grid = write_sample_grid(session.run.path, name, drawn);
  std::erase_if(grids_, [&](const auto& item) { return item.first != session.state.best_step; });
  grids_[step] = drawn;
}

at::Tensor PictureTask::drawn_in_memory(Session& session, std::int64_t step) {
  if (const auto found = grids_.find(step); found != grids_.end()) return found->second;
  if (step != session.state.step) return {};
  const AveragesInUse averages(session.averages.get(), session.parameters);
  return draw_sample_grid(session.recipe(), *this, model);
}

std::int64_t PictureTask::usual_evaluation(const Session&) const { return 0; }

}  // namespace lathe
