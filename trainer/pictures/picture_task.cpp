#include "trainer/pictures/picture_task.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <set>

#include "data/io/shell_word.h"
#include "checkpoints/bundle/fingerprint.h"
#include "models/adapters/attach.h"
#include "recipes/schema/scalars.h"
#include "models/adapters/pictures.h"
#include "models/decoder/weights.h"
#include "trainer/freeze.h"
#include "trainer/masters.h"
#include "trainer/pictures/class_plan.h"
#include "trainer/pictures/picture_plan.h"
#include "trainer/pictures/picture_report.h"
#include "trainer/pictures/picture_source.h"
#include "trainer/pictures/prepare_encodings.h"
#include "trainer/pictures/sample_grid.h"
#include "trainer/report/format.h"
#include "trainer/session.h"
#include "trainer/signals.h"

namespace lathe {

namespace {

constexpr int kBands = 4;  // of noise, in which validation is told apart

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::shared_ptr<const Tokenizer> tokenizer_for(const Recipe& recipe,
                                               const std::vector<std::string>& captions) {
  const TokenizerSection& section = recipe.tokenizer;
  if (!section.path.empty()) return load_tokenizer(section.path);
  TokenizerTraining training;
  training.kind = section.train;
  training.vocab_size = static_cast<std::size_t>(section.vocab_size);
  return train_tokenizer(captions, training);
}

// The record of a new word's vectors, as ClipText::train_tokens names it.
constexpr const char* kNewRows = "text_encoder.text_model.embeddings.token_embedding.trainable_tokens";

using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

void add_parameters(Module& module, const std::string& prefix, NamedTensors& named) {
  for (auto& item : module.named_parameters()) named.emplace_back(prefix + item.name, item.tensor);
}

// What a recipe does not freeze.
NamedTensors trained_of(const NamedTensors& all, const std::vector<std::string>& patterns) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : all) names.push_back(name);
  check_freeze(names, patterns);
  NamedTensors trained;
  for (const auto& [name, tensor] : all) {
    if (is_frozen(name, patterns))
      at::Tensor(tensor).set_requires_grad(false);
    else
      trained.emplace_back(name, tensor);
  }
  return trained;
}

// "30 layers (28 linear, 2 convolutions), 4 of them in the text encoder"
std::string layers_text(PictureModel plan, const std::vector<std::string>& modules) {
  const std::set<std::string> adapted(modules.begin(), modules.end());
  std::size_t convolutions = 0, text = 0;
  for (const PictureModel::Part& part : plan.parts())
    for (const ParameterInfo& info : part.parameters) {
      const std::string name = part.prefix + info.name.substr(0, info.name.rfind('.'));
      if (!info.name.ends_with(".weight") || adapted.count(name) == 0) continue;
      convolutions += info.shape.size() == 4 ? 1 : 0;
      text += part.prefix == kTextEncoderPart ? 1 : 0;
    }
  return cat(modules.size(), convolutions > 0 ? " layers (" : " linear layers",
             convolutions > 0
                 ? cat(modules.size() - convolutions, " linear, ", convolutions, " convolutions)")
                 : std::string(),
             text > 0 ? cat(", ", text, " of them in the text encoder") : std::string());
}

}  // namespace

void PictureTask::prepare(Session& session, const Say& say) {
  const Recipe& recipe = session.recipe();
  data = prepare_on_all_ranks(
      session, say, [&](const PrepareProgress& progress) { return prepare_pictures(recipe, progress); });
  std::vector<RecipeProblem> problems;
  plan = plan_picture_model(recipe, problems);
  if (!recipe.textual_inversion.token.empty())
    add_new_word(recipe);
  else if (!plan.by_text())
    fit_classes(plan, recipe, data.captions);
  else if (recipe.model.path.empty())
    fit_tokenizer(plan, tokenizer_for(recipe, data.captions));
  if (recipe.prior.weight > 0)
    say(cat("prior: the base draws ", recipe.prior.pictures, " pictures of the prompts in ",
            recipe.prior.prompts, " at every start"));
  if (const std::string note = cut_captions(plan, data.captions); !note.empty())
    data.notes.push_back(note + (recipe.model.path.empty() ? " (diffusion.text_encoder.max_length)" : ""));
  options_ = denoising_options(recipe, plan);
  loader_ = std::make_unique<PictureLoader>(
      data.train, static_cast<std::uint64_t>(recipe.train.seed), /*shuffle=*/true,
      recipe.train.global_batch_size);  // a step's pictures are of one size
  encodings_ = prepare_on_all_ranks(session, say, [&](const PrepareProgress& progress) {
    return prepare_picture_encodings(recipe, plan, data, session.precision, progress);
  });
}

void PictureTask::add_new_word(const Recipe& recipe) {
  const TextualInversionSection& section = recipe.textual_inversion;
  new_word = NewWord{{recipe.model.path, section.token, {}}, 0, section.vectors};
  if (plan.tokenizer) new_word->first = static_cast<std::int64_t>(plan.tokenizer->vocab_size());
  plan = with_new_word(std::move(plan), section.token, section.vectors, section.initialise_from);
  const auto has = std::count_if(data.captions.begin(), data.captions.end(), [&](const std::string& caption) {
    return caption.find(section.token) != std::string::npos;
  });
  if (has == 0)
    fail_usage("textual_inversion.token: none of the ", data.captions.size(), " captions has the word '",
               section.token, "'; write it into them, or set data.trigger to it");
  if (static_cast<std::size_t>(has) < data.captions.size())
    data.notes.push_back(
        cat("the new word '", section.token, "' is in ", has, " of ", data.captions.size(), " captions"));
}

std::uint64_t PictureTask::rows_per_epoch() const { return loader_->rows_per_epoch(); }
std::uint64_t PictureTask::units_per_epoch() const { return loader_->rows_per_epoch(); }

std::string PictureTask::objection(Session& session, std::int64_t limit) {
  const Recipe& recipe = session.recipe();
  if (!not_planned(recipe, plan).empty()) return "";
  const int ranks = session.ranks->info().world_size;
  expected_ = picture_plan_settings(recipe, plan,
                                    run_settings(recipe, session.precision, session.micro_batch_size, ranks));
  try {
    return picture_advice_to_fit(plan, *expected_, limit);
  } catch (const Error& error) {  // of the plan, which `lathe plan` tells; a run needs none
    expected_.reset();
    unplanned_ = error.what();
    return "";
  }
}

// In the training precision; masters hold the unrounded fp32 initial values.
void PictureTask::build(Session& session) {
  const Recipe& recipe = session.recipe();
  const auto seed = static_cast<std::uint64_t>(recipe.train.seed);
  TextToPicture full;
  if (recipe.model.path.empty()) {
    full = empty_picture_model(plan, at::kFloat);
    initialise(full, seed);
  } else {
    full = build_picture_model(plan, at::kFloat);
  }
  const bool bf16 = session.precision == "bf16";
  model = bf16 ? empty_picture_model(plan, at::kBFloat16) : full;
  model.vae = full.vae;
  latents_ = LatentSource(model.vae, seed, std::move(encodings_.latents));
  const auto exact = full.modules(), used = model.modules();
  if (bf16)
    for (std::size_t i = 0; i < used.size(); ++i) round_into(*used[i].second, *exact[i].second);
  make_prior(session);
  if (!recipe.adapter.kind.empty()) {
    adapter = adapter_settings(recipe.adapter, recipe.model.path);
    adapter->targets =
        attach_adapters(model, adapter_spec(recipe.adapter), recipe.adapter.text_encoder, seed);
  }
  if (new_word) train_new_word(full);
  NamedTensors named;
  for (const auto& [prefix, module] : used) add_parameters(*module, prefix, named);
  if (adapter || new_word)
    std::erase_if(named, [](const auto& item) { return !item.second.requires_grad(); });
  std::vector<std::string> frozen = recipe.model.freeze;
  if (plan.vae && !adapter && !new_word)
    frozen.emplace_back("text_encoder");  // what reads texts well stays as it is
  session.parameters = make_parameters(trained_of(named, frozen));
  if (text_is_frozen(recipe, plan)) texts_.emplace(std::move(encodings_.texts));
  if (!bf16 || adapter) return;
  for (const auto& [prefix, module] : exact) keep_masters(session.parameters, *module, prefix);
  if (new_word)  // not the whole table that they are rows of
    for (Parameter& parameter : session.parameters) parameter.master = parameter.master.clone();
}

// In the copy that is not rounded too, which the masters come from.
void PictureTask::train_new_word(TextToPicture& full) {
  for (const auto& [prefix, module] : model.modules())
    for (auto& parameter : module->parameters()) parameter.set_requires_grad(false);
  model.text_encoder->train_tokens(new_word->first, new_word->count);
  if (full.text_encoder != model.text_encoder)
    full.text_encoder->train_tokens(new_word->first, new_word->count);
}

// A second copy of the base, in the run's precision, that stays as it is.
void PictureTask::make_prior(const Session& session) {
  const Recipe& recipe = session.recipe();
  if (recipe.prior.weight <= 0) return;
  const auto type = session.precision == "bf16" ? at::kBFloat16 : at::kFloat;
  DrawOptions draw = draw_options(recipe, plan, data);
  draw.drawn = [](std::size_t) { stop_if_requested("drawing pictures of old prompts"); };
  prior_ = std::make_unique<FrozenPrior>(build_picture_model(plan, type), recipe.prior, draw);
}

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
  const double waited = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
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
  if (batch.masks.empty()) return static_cast<double>(counted);
  const auto rows = static_cast<std::uint64_t>(session.recipe().train.global_batch_size);
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

std::vector<CheckpointFile> PictureTask::model_files(std::vector<BundleTensor> weights) const {
  if (adapter) {
    PeftAdapter trained = *adapter;
    trained.tensors = std::move(weights);
    return picture_adapter_files(trained, plan);
  }
  if (new_word) {
    TextualInversion learned = new_word->settings;
    learned.vectors = std::move(weights.at(0));
    return textual_inversion_files(learned);
  }
  PictureModel kept = plan;
  std::map<std::string, BundleTensor> trained;
  for (BundleTensor& tensor : weights) trained.emplace(tensor.name, std::move(tensor));
  for (const PictureModel::Part& part : kept.parts()) {
    std::map<std::string, BundleTensor> base;  // of what is frozen
    for (BundleTensor& tensor : *part.tensors) base.emplace(tensor.name, std::move(tensor));
    part.tensors->clear();
    for (const ParameterInfo& info : part.parameters) {
      const auto found = trained.find(part.prefix + info.name);
      BundleTensor tensor =
          found != trained.end() ? found->second : convert_tensor(base.at(info.name), DType::F32);
      tensor.name = info.name;
      part.tensors->push_back(std::move(tensor));
    }
  }
  return pipeline_files(kept);
}

std::map<std::string, BundleTensor> PictureTask::read_weights(const std::string& checkpoint) const {
  std::map<std::string, BundleTensor> weights;
  if (adapter) {
    for (BundleTensor& tensor : read_picture_adapter(checkpoint, plan).tensors)
      weights.emplace(tensor.name, std::move(tensor));
    return weights;
  }
  if (new_word) {
    BundleTensor rows = read_textual_inversion(checkpoint).vectors;
    rows.name = kNewRows;
    weights.emplace(kNewRows, std::move(rows));
    return weights;
  }
  PictureModel kept = read_pipeline(checkpoint);
  for (const PictureModel::Part& part : kept.parts())
    for (BundleTensor& tensor : *part.tensors) {
      tensor.name = part.prefix + tensor.name;
      weights.emplace(tensor.name, std::move(tensor));
    }
  return weights;
}

void PictureTask::say_data(const Session&, bool strict, const Say& say) const {
  for (const std::string& note : data.notes) say("note: " + printable(note));
  if (!unplanned_.empty()) say("note: memory is not told beforehand: " + unplanned_);
  if (strict && !data.notes.empty())
    fail("the pictures were not all in order (--strict); nothing was trained");
}

std::vector<std::string> PictureTask::opening_lines(const Session& session) const {
  std::uint64_t held = 0;
  for (const PictureSet& set : data.validation) held += set.pictures;
  std::vector<std::string> lines{
      cat("data: ", data.train.pictures, " pictures of ", data.width, " x ", data.height, " x ",
          data.channels, ", ", held, " held out"),
      plan.vae ? cat("model: Stable Diffusion's UNet, ",
                     format_count(static_cast<double>(count_parameters(plan).transformer)), " parameters",
                     plan.fills_in() ? ", which fills in masked pictures" : "",
                     adapter && session.recipe().adapter.text_encoder
                         ? "; its VAE stays as it is"
                         : "; its text encoder and its VAE stay as they are")
      : !plan.by_text()
          ? cat("model: ", plan.unet ? "unet2d, " : "dit, ", format_count(static_cast<double>(parameters())),
                " parameters, ",
                plan.classes.empty() ? std::string("no") : std::to_string(plan.classes.size()), " classes")
          : cat("model: sd3, ", format_count(static_cast<double>(parameters())), " parameters, of them ",
                format_count(static_cast<double>(count_parameters(plan).text_encoder)),
                " in the text encoder, ", plan.tokenizer->vocab_size(), " tokens")};
  if (adapter) {
    std::int64_t trained = 0;
    for (const Parameter& parameter : session.parameters) trained += parameter.weight.numel();
    lines.push_back(cat("adapter: ", session.recipe().adapter.kind, " of rank ", adapter->rank, " on ",
                        layers_text(plan, adapter->targets), ", ", format_count(static_cast<double>(trained)),
                        " parameters trained"));
  }
  if (new_word)
    lines.push_back(cat("new word: ", new_word->settings.token, ", ", new_word->count, " x ",
                        plan.text_encoder.hidden_size, " values; the base stays as it is"));
  if (prior_)
    lines.push_back(cat("prior: ", prior_->pictures(),
                        " pictures drawn by the base stay as it predicts them, weight ", prior_->weight()));
  return lines;
}

std::string PictureTask::one_line(const EvaluationMetrics& metrics) const {
  return cat(metrics.set, " loss ", metrics.loss, metrics.grid.empty() ? "" : ", samples in " + metrics.grid);
}

Json PictureTask::evaluated(const EvaluationMetrics& metrics) const { return metrics.details; }

Json PictureTask::identity(const Session& session) const {
  Json identity{{"data_sha256", data.data_sha256},
                {plan.by_text() ? "tokenizer_sha256" : "classes",
                 plan.by_text() ? Json(plan.tokenizer->fingerprint()) : Json(plan.classes)},
                {"base", session.recipe().model.path}};
  if (const std::string& base = session.recipe().model.path; !base.empty())
    identity["base_sha256"] = model_fingerprint(resolve_model(base).folder);
  return identity;
}

std::int64_t PictureTask::parameters() const {
  const PictureParameters count = count_parameters(plan);
  return count.transformer + count.text_encoder;
}

Json PictureTask::ledger() const { return data.ledger; }
std::int64_t PictureTask::peak_memory(const Session&) const {
  return expected_ ? make_picture_plan(plan, *expected_).peak_bytes : 0;
}
void PictureTask::before_first_step(Session&, const Say&) {}
Json PictureTask::report(Session& session, const std::vector<PartResult>&, const Say& say) {
  return make_picture_report(session, *this, say);
}

std::string PictureTask::next_commands(const Session& session) const {
  const std::string run = shell_word(session.run.path);
  if (!plan.by_text())
    return cat("lathe sample ", run, plan.classes.empty() ? " --count 16" : " --count 8",
               " --output pictures");
  const bool told = session.recipe().report.shows() && !data.captions.empty();
  return cat("lathe sample ", run, " --prompt ", shell_word(told ? data.captions.front() : "a picture"),
             " --count 4 --output pictures");
}

}  // namespace lathe
