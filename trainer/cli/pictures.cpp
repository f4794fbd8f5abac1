#include "trainer/cli/pictures.h"

#include <algorithm>
#include <functional>
#include <numeric>

#include "checkpoints/exporters/picture_coverage.h"
#include "data/images/list_pictures.h"
#include "data/images/picture_loader.h"
#include "trainer/machine.h"
#include "trainer/pictures/class_plan.h"
#include "trainer/pictures/picture_base.h"
#include "trainer/pictures/picture_plan.h"
#include "trainer/pictures/picture_source.h"
#include "trainer/pictures/prepare_encodings.h"
#include "trainer/plan/picture_memory.h"
#include "trainer/report/format.h"
#include "trainer/report/metrics.h"
#include "trainer/session.h"

namespace lathe {

namespace {

PictureModel model_of(const Recipe& recipe) {
  std::vector<RecipeProblem> problems;  // told by checked_recipe
  PictureModel model = plan_picture_model(recipe, problems);
  if (recipe.model.path.empty() && model.by_text())
    model.text_encoder.vocab_size = recipe.tokenizer.vocab_size;
  return model;
}

void say_notes(const Context& context, const PreparedPictures& data) {
  for (const std::string& note : data.notes) context.say("note: " + printable(note));
}

// What a network of classes is to those who read this: its class in diffusers, its config, and the parameters
// that every class adds.
struct ClassNetwork {
  std::string family, folder;
  Json config;
  std::int64_t a_class = 0;
};

ClassNetwork class_network(const PictureModel& model) {
  if (model.dit)
    return {"dit", "transformer", dit_config(*model.dit), model.dit->num_layers * model.dit->hidden_size()};
  return {"unet2d", "unet", unet_2d_config(*model.unet), model.unet->time_channels()};
}

void say_by_class(Context& context, const Recipe& recipe, const PictureModel& model) {
  const std::int64_t parameters = count_parameters(model).transformer;
  const ClassNetwork network = class_network(model);
  context.result["config"] = network.config;
  context.result["parameters"] = parameters;
  std::string more;
  if (recipe.model.path.empty())
    more = model.dit ? cat(" with one class, and ", network.a_class, " more for every other of data.train")
                     : cat(", and ", network.a_class, " more for every class of data.train and one for none");
  context.say(cat("# model: ", network.family, ", ", parameters, " parameters", more, "; ", network.folder,
                  "/config.json:\n# ", network.config.dump()));
}

void say_stable_diffusion(Context& context, const PictureModel& model) {
  const auto [network, text] = count_parameters(model);
  context.result["config"] = unet_2d_config(*model.unet);
  context.result["vae_config"] = autoencoder_config(*model.vae);
  context.result["text_encoder_config"] = clip_text_config(model.text_encoder);
  context.result["parameters"] = network + text;
  context.say(cat("# model: Stable Diffusion, ", network, " parameters in the UNet and ", text,
                  " in the text encoder; unet/config.json:\n# ", unet_2d_config(*model.unet).dump()));
}

// What else than the base an exported pipeline draws with.
void say_scheduler(Context& context, const Recipe& recipe, const PictureModel& model) {
  if (recipe.model.path.empty()) return;
  const std::string left = scheduler_left(resolve_model(recipe.model.path).folder, model.noise());
  if (!left.empty())
    context.say(cat("# scheduler: the base is drawn with by ", left, "; an exported pipeline by ",
                    scheduler_class(model.noise()),
                    model.noise().schedule.kind == NoiseKind::Flow ? "" : " with trailing times",
                    ": the same noise, other steps"));
}

void say_joint_transformer(Context& context, const PictureModel& model) {
  const auto [network, text] = count_parameters(model);
  context.result["config"] = joint_transformer_config(model.transformer);
  context.result["text_encoder_config"] = clip_text_config(model.text_encoder);
  context.result["parameters"] = network + text;
  context.say(cat("# model: sd3, ", network, " parameters and ", text,
                  " in the text encoder; transformer/config.json:\n# ",
                  joint_transformer_config(model.transformer).dump()));
}

// As a comment: check prints a recipe.
std::string commented(const std::string& lines) {
  std::string text = "# ";
  for (const char c : lines) text += c == '\n' ? std::string("\n# ") : std::string(1, c);
  return text;
}

// How many pictures there are, without reading one; the Errors that `train` would begin with.
void check_picture_files(const Context& context, const Recipe& recipe) {
  const DataSection& data = recipe.data;
  const auto seed = static_cast<std::uint64_t>(recipe.train.seed);
  const auto tell = [&](const std::string& set, const std::vector<SourceSection>& sources) {
    PictureList list = list_pictures(sources, seed);
    apply_trigger(data.trigger, sources, list);
    context.say(
        cat("# ", set, ": ", list.pictures.size(), list.pictures.size() == 1 ? " picture" : " pictures"));
    return list.pictures;
  };
  std::vector<std::string> captions;
  for (const PictureFile& picture : tell("data.train", data.train)) captions.push_back(picture.caption);
  for (const SourceSection& set : data.validation.sets) tell("data.validation " + set.name, {set});
  if (data.validation.share > 0 && captions.size() < 2)
    fail_usage("data.validation: a share wants at least two pictures, ", captions.size(), " can be used");
  if (const std::string& word = recipe.textual_inversion.token; !word.empty())
    captions_with_word(word, captions);
}

}  // namespace

void check_pictures(Context& context, const Recipe& recipe) {
  check_picture_files(context, recipe);
  const PictureModel model = model_of(recipe);
  if (model.vae)
    say_stable_diffusion(context, model);
  else if (model.by_text())
    say_joint_transformer(context, model);
  else
    say_by_class(context, recipe, model);
  say_scheduler(context, recipe, model);
  const bool word = !recipe.textual_inversion.token.empty();
  const PlannedExtra extra{recipe.adapter.kind, adapted_modules(recipe, model),
                           word ? recipe.textual_inversion.vectors : 0};
  context.result["exports"] = Json::array();
  for (const ExportSection& target : recipe.exports) {
    const TargetCoverage coverage = cover_target(target.format, model, extra);
    context.result["exports"].push_back(coverage.to_json());
    context.say(commented(coverage.text()));
  }
}

ExitCode plan_pictures(Context& context, const Recipe& recipe, const PlanArguments& arguments) {
  const PreparedPictures data = prepare_pictures(recipe);
  PictureModel model = model_of(recipe);
  if (!model.by_text()) fit_classes(model, recipe, data.captions);
  const PictureParameters count = count_parameters(model);
  const std::int64_t parameters = count.transformer + count.text_encoder;
  const PictureLoader loader(data.train, 0);
  const RunLength length = run_length(recipe.train, loader.rows_per_epoch(), loader.rows_per_epoch());
  const bool adapted = !recipe.adapter.kind.empty();
  const std::int64_t trained = trained_parameters(recipe, model);
  std::int64_t vae = 0;
  if (model.vae)
    for (const ParameterInfo& info : autoencoder_parameters(*model.vae))
      vae += std::accumulate(info.shape.begin(), info.shape.end(), std::int64_t{1}, std::multiplies<>());
  context.say(cat("parameters: ", parameters, adapted ? ", frozen, and of the adapter " : ", of them ",
                  trained, " trained", model.vae ? cat("; VAE ", vae) : std::string(),
                  "\nsteps: ", length.steps, " (", length.rows, " pictures, ",
                  static_cast<double>(length.rows) / static_cast<double>(loader.rows_per_epoch()),
                  " epochs)"));
  const std::int64_t micro = choose_micro_batch(recipe, arguments.processes);
  context.result =
      Json{{"parameters", parameters}, {"trained_parameters", trained}, {"vae_parameters", vae},
           {"steps", length.steps},    {"pictures", length.rows},       {"micro_batch_size", micro}};
  const std::string precision = resolve_precision(recipe.train.precision);
  if (const std::string missing = not_planned(recipe, model); !missing.empty()) {
    // Master and two moments (Muon has one for its matrices: an upper bound); a gradient, and in bf16 a copy,
    // are 4 bytes too. What is frozen is there once; the VAE in fp32; a prior is one more copy.
    const std::int64_t frozen = std::max<std::int64_t>(0, adapted ? parameters : parameters - trained);
    const bool bf16 = precision == "bf16";
    const std::int64_t bytes = trained * (12 + 4 + (recipe.ema.decay > 0 ? 4 : 0)) +
                               (frozen + (recipe.prior.weight > 0 ? parameters : 0)) * (bf16 ? 2 : 4) +
                               vae * 4;
    context.result["state_bytes"] = bytes;
    context.say(cat("memory: ", format_bytes(static_cast<double>(bytes)),
                    " for weights, gradients, moments and averages; activations are not planned, as ",
                    missing, " not"));
    return ExitCode::Done;
  }
  const PicturePlanSettings settings =
      picture_plan_settings(recipe, model, run_settings(recipe, precision, micro, arguments.processes));
  const std::int64_t limit = planned_limit(arguments);
  say_memory(context, make_picture_plan(model, settings), limit,
             picture_advice_to_fit(model, settings, limit));
  return ExitCode::Done;
}

// What a run of the recipe would read of frozen encoders, in the threads and the precision that it would use.
void prepare_encodings_of_base(Context& context, const Recipe& recipe, const PreparedPictures& data,
                               const PrepareProgress& progress) {
  if (recipe.model.path.empty()) return;
  const PictureModel model = model_of(recipe);
  if (const std::string note = cut_captions(model.tokenizer, model.text_encoder, data.captions);
      !note.empty()) {
    context.say("note: " + note);
    context.result["notes"].push_back(note);
  }
  set_compute_threads(resolve_threads(static_cast<long>(recipe.train.threads)));
  const PictureEncodings made =
      prepare_picture_encodings(recipe, model, data, resolve_precision(recipe.train.precision), progress);
  std::size_t latents = 0;
  for (const CachedLatents& set : made.latents) latents += set.size();
  context.result["latents"] = latents;
  context.result["text_embeddings"] = made.texts.size();
  if (latents + made.texts.size() > 0)
    context.say(cat("encoded: the latents of ", latents, " pictures (variants counted) and ",
                    made.texts.size(), " captions are in the cache"));
}

ExitCode prepare_pictures_command(Context& context, const Recipe& recipe) {
  std::string last;
  const PrepareProgress progress = [&](const std::string& phase, double) {
    stop_if_requested("preparing the data");
    if (phase != last) context.log("prepare: " + phase);
    last = phase;
  };
  const PreparedPictures data = prepare_pictures(recipe, progress, ReadyCheck::Checksums);
  context.say(cat(data.was_ready ? "already prepared: " : "prepared: ", data.directory));
  say_notes(context, data);
  Json sets = Json::array();
  const auto say_set = [&](const PictureSet& set) {
    context.say(cat(set.name, ": ", set.pictures, " pictures of ", data.width, " x ", data.height, " x ",
                    data.channels));
    sets.push_back(Json{{"name", set.name}, {"pictures", set.pictures}, {"shards", set.shards}});
  };
  say_set(data.train);
  for (const PictureSet& set : data.validation) say_set(set);
  context.result = Json{{"directory", data.directory},     {"was_ready", data.was_ready},
                        {"data_sha256", data.data_sha256}, {"sets", sets},
                        {"ledger", data.ledger},           {"notes", data.notes}};
  prepare_encodings_of_base(context, recipe, data, progress);
  return ExitCode::Done;
}

}  // namespace lathe
