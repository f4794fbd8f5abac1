#include "trainer/export_pictures.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "checkpoints/bundle/fingerprint.h"
#include "checkpoints/diffusion/single_file.h"
#include "checkpoints/exporters/diffusers.h"
#include "checkpoints/exporters/export_folder.h"
#include "checkpoints/exporters/picture_lora.h"
#include "checkpoints/exporters/textual_inversion.h"
#include "models/diffusion/fill_in.h"
#include "models/diffusion/names.h"
#include "models/diffusion/text_to_picture.h"
#include "recipes/schema/load.h"
#include "trainer/notices.h"
#include "trainer/pictures/picture_source.h"

namespace lathe {

namespace {

constexpr std::int64_t kSteps = 10, kMostPrompts = 64;

// A picture of the reference: as trained, or as large as so many numbers allow; latents are of a large
// network, which would take minutes at its usual size.
std::int64_t reference_side(const TextToPicture& model) {
  const std::int64_t kMostValues = model.vae ? 2304 : 16384;
  std::int64_t side = model.sample_size();
  const std::int64_t step = model.side_step(), scale = model.points_a_place();
  while (side > step && model.channels() * (side / scale) * (side / scale) > kMostValues) side -= step;
  return side;
}

constexpr const char* kFilled =
    "a ramp from black on the left to white on the right; its left half is drawn anew";

// What kFilled says, (1, 1 + L, h, w).
at::Tensor filled_ramp(const TextToPicture& model, std::int64_t side) {
  const at::Tensor across = (at::arange(side, at::kFloat) + 0.5) / static_cast<double>(side);
  const at::Tensor picture = (2 * across - 1).expand({1, model.vae->spec().in_channels, side, side});
  return fill_in_condition(*model.vae, picture, across.lt(0.5).expand({1, 1, side, side}));
}

DrawOptions reference_draw(const TextToPicture& model) {
  DrawOptions options;
  options.height = options.width = reference_side(model);
  options.steps = kSteps;
  options.sampler = usual_sampler(model.schedule.is_flow());
  if (model.fills_in()) options.beside = filled_ramp(model, options.height);
  return options;
}

// Six digits behind the point: a thousandth of the tolerance.
Json rounded(const at::Tensor& values) {
  const at::Tensor flat = values.to(at::kDouble).flatten().contiguous();
  Json list = Json::array();
  for (std::int64_t i = 0; i < flat.numel(); ++i)
    list.push_back(std::round(flat.const_data_ptr<double>()[i] * 1e6) / 1e6);
  return list;
}

// Without guidance, and with it where the model can be guided.
std::vector<double> guidances(const TextToPicture& model, double guidance) {
  if (!model.guidable()) return {1.0};
  return {1.0, guidance};
}

// How the model is meant to be drawn with, for usual_sampling.
Json to_json(const SamplingSection& sampling) {
  return Json{{"steps", sampling.steps},
              {"sampler", sampling.sampler},
              {"guidance", sampling.guidance},
              {"guidance_from", sampling.guidance_from},
              {"guidance_until", sampling.guidance_until}};
}

// Of an adapter or a new word alone, which is not drawn with: its files were compared with what was trained.
Json part_reference(const PictureExportRequest& request, const ModelSource& base) {
  return Json{{"format", "lathe-reference"},
              {"version", 1},
              {"kind", "part of a picture model"},
              {"sampling", to_json(request.sampling)},
              {"base_sha256", model_fingerprint(base.folder)}};
}

Json make_reference(const TextToPicture& model, const PictureExportRequest& request, DType dtype) {
  DrawOptions options = reference_draw(model);
  const auto shape = model.latent_shape(options.height, options.width);  // what is noised
  Json reference{{"format", "lathe-reference"},
                 {"version", 1},
                 {"kind", "pictures"},
                 {"dtype", dtype_name(dtype)},
                 {"computed_in", "F32"},
                 {"channels", model.channels()},
                 {"height", shape[1]},
                 {"width", shape[2]},
                 {"steps", options.steps},
                 {"sampler", to_name(options.sampler)},
                 {"seed", options.seed},
                 {"guidance", request.sampling.guidance},
                 {"sampling", to_json(request.sampling)},
                 {"prompts", Json::array()}};
  if (model.fills_in()) reference["filled"] = kFilled;
  for (std::size_t i = 0; i < request.prompts.size(); ++i) {
    Json entry{{"text", request.prompts[i]},
               {"ids", condition_ids(model, request.prompts[i])},
               {"noise", rounded(starting_noise(options.seed, i, shape))},
               {"draws", Json::array()}};
    for (const double guidance : guidances(model, request.sampling.guidance)) {
      options.guidance = guidance;
      const at::Tensor latents = draw_pictures(model, {request.prompts[i]}, {i}, options);
      entry["draws"].push_back({{"guidance", guidance}, {"latents", rounded(latents)}});
    }
    reference["prompts"].push_back(entry);
  }
  return reference;
}

// Whether every tensor is of that type already, so that nothing is rounded.
bool holds(PictureModel model, DType dtype) {
  for (const PictureModel::Part& part : model.parts())
    for (const BundleTensor& tensor : *part.tensors)
      if (tensor.dtype != dtype) return false;
  return true;
}

double largest_change(const TextToPicture& before, const TextToPicture& after,
                      const std::vector<std::string>& prompts) {
  const DrawOptions options = reference_draw(before);
  double largest = 0;
  for (std::size_t i = 0; i < prompts.size(); ++i)
    largest = std::max(largest, (draw_pictures(before, {prompts[i]}, {i}, options) -
                                 draw_pictures(after, {prompts[i]}, {i}, options))
                                    .abs()
                                    .max()
                                    .item<double>());
  return largest;
}

// Infinite when the numbers are not as many as wanted, or one is no number.
double difference(const at::Tensor& found, const Json& wanted) {
  const at::Tensor flat = found.to(at::kDouble).flatten().contiguous();
  if (!wanted.is_array() || static_cast<std::int64_t>(wanted.size()) != flat.numel()) return INFINITY;
  double largest = 0;
  for (std::int64_t i = 0; i < flat.numel(); ++i) {
    const Json& value = wanted[static_cast<std::size_t>(i)];
    const double error =
        value.is_number() ? std::abs(flat.const_data_ptr<double>()[i] - value.get<double>()) : INFINITY;
    largest = std::isfinite(error) ? std::max(largest, error) : INFINITY;
  }
  return largest;
}

DrawOptions read_draw(const Json& reference, const TextToPicture& model, const std::string& where) {
  DrawOptions options = reference_draw(model);
  const auto steps = json_get<std::int64_t>(reference, "steps", where);
  const auto shape = model.latent_shape(options.height, options.width);
  require(steps == options.steps && json_get<std::int64_t>(reference, "height", where) == shape[1] &&
              json_get<std::int64_t>(reference, "width", where) == shape[2] &&
              json_get<std::string>(reference, "sampler", where) == to_name(options.sampler),
          where, ": is of another size, number of steps or sampler than an export of this model has");
  options.seed = json_get<std::uint64_t>(reference, "seed", where);
  return options;
}

void compare_entry(const Json& entry, std::uint64_t number, const TextToPicture& model, DrawOptions options,
                   PictureVerification& verification) {
  const std::string where = cat("reference.json: prompt ", number);
  const auto text = json_get<std::string>(entry, "text", where);
  if (json_get<Json>(entry, "ids", where) != Json(condition_ids(model, text))) verification.same_ids = false;
  const at::Tensor noise =
      starting_noise(options.seed, number, model.latent_shape(options.height, options.width));
  verification.max_error =
      std::max(verification.max_error, difference(noise, json_get<Json>(entry, "noise", where)));
  const Json draws = json_get<Json>(entry, "draws", where);
  require(draws.is_array() && !draws.empty(), where, ": 'draws' must be a list of one or more");
  for (const Json& draw : draws) {
    options.guidance = json_get<double>(draw, "guidance", where);
    const at::Tensor latents = draw_pictures(model, {text}, {number}, options);
    verification.largest_value = std::max(verification.largest_value, latents.abs().max().item<double>());
    verification.max_error =
        std::max(verification.max_error, difference(latents, json_get<Json>(draw, "latents", where)));
  }
}

DType dtype_of_name(const std::string& name) {
  return name == "bf16" ? DType::BF16 : name == "fp16" ? DType::F16 : DType::F32;
}

double rounding_tolerance(DType dtype) {
  return dtype == DType::BF16 ? 0x1p-8 : dtype == DType::F16 ? 0x1p-11 : 1e-6;
}

// From the run's own recipe, where there is one.
LoraLabel label_of(const ModelSource& source) {
  LoraLabel label;
  const std::string file = source.run + "/recipe.yaml";
  if (source.run.empty() || !std::filesystem::exists(file)) {
    label.title = base_name(std::filesystem::absolute(source.folder).string());
    return label;
  }
  const Recipe recipe = load_recipe(file).recipe;
  label.title = recipe.name;
  label.trigger = recipe.data.trigger;
  label.resolution = cat(recipe.data.resolution.front(), "x", recipe.data.resolution.back());
  return label;
}

}  // namespace

double PictureVerification::tolerance() const { return 1e-3 * std::max(1.0, largest_value); }

Json PictureVerification::to_json() const {
  Json json{{"passed", passed()},
            {"max_error", max_error},
            {"largest_value", largest_value},
            {"same_ids", same_ids},
            {"tolerance", tolerance()}};
  if (rounding_error) json["rounding_error"] = *rounding_error;
  if (!damaged.empty()) json["damaged"] = damaged;
  return json;
}

std::vector<std::string> reference_prompts(const PictureModel& model) {
  if (model.by_text()) return {"a red circle on the left", "a photo of a dog", ""};
  if (model.classes.empty()) return {""};
  std::vector<std::string> prompts = model.classes;
  if (prompts.size() > 3) prompts.resize(3);
  return prompts;
}

PictureVerification export_pictures(const ModelSource& source, const PictureExportRequest& request,
                                    ExportOptions options) {
  require(!request.prompts.empty() && static_cast<std::int64_t>(request.prompts.size()) <= kMostPrompts,
          "an export of pictures wants 1 to ", kMostPrompts, " prompts for its reference");
  options.dtype = dtype_of_name(request.dtype);
  const PictureModel model = load_picture_model(source);
  options.notices = notices_of(source);
  options.card = request.heading + (request.single_file ? single_file_commands(request.example())
                                                        : picture_commands(model, request.example()));
  std::optional<double> rounding;
  {
    PictureModel exact = model;
    for (const PictureModel::Part& part : exact.parts())
      for (BundleTensor& tensor : *part.tensors) tensor = convert_tensor(std::move(tensor), options.dtype);
    const TextToPicture exported = build_picture_model(exact, at::kFloat);
    options.reference = make_reference(exported, request, options.dtype);
    if (options.dtype != DType::F32 && !holds(model, options.dtype))
      rounding = largest_change(build_picture_model(model, at::kFloat), exported, request.prompts);
  }
  if (request.single_file)
    export_single_file(model, label_of(source).title, options);
  else
    export_diffusers(model, options);
  PictureVerification verification = verify_pictures(options.directory);
  verification.rounding_error = rounding;
  write_file_atomically(options.directory + "/verification.json", verification.to_json().dump(2) + "\n");
  follow_umask(options.directory);
  require(verification.passed(), "export '", options.directory,
          "' was written but does not draw what the model draws: ", verification.to_json().dump());
  return verification;
}

Json export_adapter_of_pictures(const ModelSource& source, const std::string& format,
                                const PictureExportRequest& request, ExportOptions options) {
  const LoraSpelling spelling = lora_spelling(format);
  AdaptedPictureModel model = load_adapted_pictures(source);
  const ModelSource base = resolve_model(model.adapter.base);
  if (is_picture_adapter(base.folder))
    fail_usage("format ", format, ": the base '", model.adapter.base,
               "' is an adapter on a base of its own; export that one merged first "
               "(format: diffusers) and train on the result");
  model.adapter.base = std::filesystem::absolute(base.folder).lexically_normal().string();
  options.reference = part_reference(request, base);
  options.dtype = dtype_of_name(request.dtype);
  options.notices = notices_of(source);
  options.card =
      request.heading + picture_lora_commands(model.adapter, model.base, spelling, request.example());
  const double error = export_picture_lora(model.adapter, model.base, spelling, label_of(source), options);
  const double tolerance = rounding_tolerance(options.dtype);
  require(error <= tolerance, "export '", options.directory, "' was written but its weights change by ",
          error, " (relative norm) otherwise than they were trained to; wanted at most ", tolerance);
  return Json{{"passed", true}, {"max_error", error}, {"tolerance", tolerance}};
}

Json export_word_of_pictures(const ModelSource& source, const PictureExportRequest& request,
                             ExportOptions options) {
  if (!is_textual_inversion(source.folder))
    fail_usage("format ", kTextualInversion, " exports a new word, and ", source.description,
               " has none (textual_inversion.token)");
  TextualInversion learned = read_textual_inversion(source.folder);
  const ModelSource base = find_base(learned.base, source).source;
  refuse_changed_base(source, base);
  options.reference = part_reference(request, base);
  learned.base = std::filesystem::absolute(base.folder).lexically_normal().string();
  options.dtype = dtype_of_name(request.dtype);
  options.notices = notices_of(source);
  options.card = request.heading + textual_inversion_commands(
                                       learned, load_picture_model(base).vae.has_value(), request.example());
  const double error = export_textual_inversion(learned, options),
               tolerance = rounding_tolerance(options.dtype);
  require(error <= tolerance, "export '", options.directory, "' was written but its vectors are off by ",
          error, " of the largest; wanted at most ", tolerance);
  return Json{{"passed", true}, {"max_error", error}, {"tolerance", tolerance}};
}

PictureVerification verify_pictures(const std::string& directory) {
  const std::string path = directory + "/reference.json";
  require(std::filesystem::exists(path), "'", directory,
          "' has no reference.json, so there is nothing to compare with; only exports of lathe carry one");
  const Json reference = read_json(path);
  const TextToPicture model = build_picture_model(read_pipeline(directory), at::kFloat);
  const DrawOptions options = read_draw(reference, model, path);
  const Json prompts = json_get<Json>(reference, "prompts", path);
  require(prompts.is_array() && !prompts.empty() && static_cast<std::int64_t>(prompts.size()) <= kMostPrompts,
          path, ": 'prompts' must be a list of 1 to ", kMostPrompts);
  PictureVerification verification;
  for (std::size_t i = 0; i < prompts.size(); ++i) compare_entry(prompts[i], i, model, options, verification);
  return verification;
}

}  // namespace lathe
