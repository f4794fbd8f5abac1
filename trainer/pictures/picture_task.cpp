#include "trainer/pictures/picture_task.h"

#include <ATen/core/Tensor.h>

#include <algorithm>

#include "models/adapters/attach.h"
#include "models/adapters/pictures.h"
#include "models/decoder/weights.h"
#include "trainer/freeze.h"
#include "trainer/masters.h"
#include "trainer/pictures/class_plan.h"
#include "trainer/pictures/picture_plan.h"
#include "trainer/pictures/picture_source.h"
#include "trainer/pictures/prepare_encodings.h"
#include "trainer/session.h"
#include "trainer/signals.h"

namespace lathe {

namespace {

std::shared_ptr<const Tokenizer> tokenizer_for(const Recipe& recipe,
                                               const std::vector<std::string>& captions) {
  const TokenizerSection& section = recipe.tokenizer;
  if (!section.path.empty()) return load_tokenizer(section.path);
  TokenizerTraining training;
  training.kind = section.train;
  training.vocab_size = static_cast<std::size_t>(section.vocab_size);
  return train_tokenizer(captions, training);
}

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
  if (const std::string note = cut_captions(plan.tokenizer, plan.text_encoder, data.captions); !note.empty())
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
  if (plan.tokenizer && (plan.tokenizer->token_id(section.token) ||
                         plan.tokenizer->token_id(section.token + "</w>")))  // CLIP marks the ends of words
    fail_usage(
        "textual_inversion.token: '", section.token,
        "' is a token of the base already, so it would not be a new word; choose another, such as <wug>");
  if (plan.tokenizer) new_word->first = static_cast<std::int64_t>(plan.tokenizer->vocab_size());
  plan = with_new_word(std::move(plan), section.token, section.vectors, section.initialise_from);
  const std::size_t has = captions_with_word(section.token, data.captions);
  if (has < data.captions.size())
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

}  // namespace lathe
