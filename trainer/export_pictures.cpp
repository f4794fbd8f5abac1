#include "trainer/export_pictures.h"

#include <ATen/ATen.h>

#include <cmath>
#include <filesystem>

#include "checkpoints/exporters/diffusers.h"
#include "models/diffusion/names.h"
#include "models/diffusion/text_to_picture.h"

namespace lathe {

namespace {

constexpr std::int64_t kSteps = 10, kMostValues = 16384, kMostPrompts = 64;

// A picture of the reference: as trained, or as large as kMostValues numbers allow.
std::int64_t reference_side(const JointTransformerSpec& spec) {
  std::int64_t side = spec.sample_size;
  while (side > spec.patch_size && spec.in_channels * side * side > kMostValues) side -= spec.patch_size;
  return side;
}

DrawOptions reference_draw(const JointTransformerSpec& spec, bool flow) {
  DrawOptions options;
  options.height = options.width = reference_side(spec);
  options.steps = kSteps;
  options.sampler = flow ? SamplerKind::FlowEuler : SamplerKind::Ddim;
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

Json ids_json(const at::Tensor& row) {
  Json list = Json::array();
  for (std::int64_t i = 0; i < row.numel(); ++i) list.push_back(row[i].item<std::int64_t>());
  return list;
}

Json make_reference(const TextToPicture& model, const PictureExportRequest& request, DType dtype) {
  const JointTransformerSpec& spec = model.transformer->spec();
  DrawOptions options = reference_draw(spec, model.schedule.is_flow());
  Json reference{{"format", "lathe-reference"}, {"version", 1},
                 {"kind", "pictures"},          {"dtype", dtype_name(dtype)},
                 {"computed_in", "F32"},        {"channels", spec.in_channels},
                 {"height", options.height},    {"width", options.width},
                 {"steps", options.steps},      {"sampler", to_name(options.sampler)},
                 {"seed", options.seed},        {"guidance", request.guidance},
                 {"prompts", Json::array()}};
  const at::Tensor ids = token_rows(*model.tokenizer, model.text_encoder->spec(), request.prompts);
  for (std::size_t i = 0; i < request.prompts.size(); ++i) {
    Json entry{{"text", request.prompts[i]},
               {"ids", ids_json(ids[static_cast<std::int64_t>(i)])},
               {"noise",
                rounded(starting_noise(options.seed, i, {spec.in_channels, options.height, options.width}))},
               {"draws", Json::array()}};
    for (const double guidance : {1.0, request.guidance}) {
      options.guidance = guidance;
      const at::Tensor latents = draw_pictures(model, {request.prompts[i]}, {i}, options);
      entry["draws"].push_back({{"guidance", guidance}, {"latents", rounded(latents)}});
    }
    reference["prompts"].push_back(entry);
  }
  return reference;
}

double largest_change(const TextToPicture& before, const TextToPicture& after,
                      const std::vector<std::string>& prompts) {
  const DrawOptions options = reference_draw(before.transformer->spec(), before.schedule.is_flow());
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
  const JointTransformerSpec& spec = model.transformer->spec();
  DrawOptions options = reference_draw(spec, model.schedule.is_flow());
  const auto steps = json_get<std::int64_t>(reference, "steps", where);
  require(steps == options.steps && json_get<std::int64_t>(reference, "height", where) == options.height &&
              json_get<std::int64_t>(reference, "width", where) == options.width &&
              json_get<std::string>(reference, "sampler", where) == to_name(options.sampler),
          where, ": is of another size, number of steps or sampler than an export of this model has");
  options.seed = json_get<std::uint64_t>(reference, "seed", where);
  return options;
}

void compare_entry(const Json& entry, std::uint64_t number, const TextToPicture& model, DrawOptions options,
                   PictureVerification& verification) {
  const std::string where = cat("reference.json: prompt ", number);
  const auto text = json_get<std::string>(entry, "text", where);
  const at::Tensor ids = token_rows(*model.tokenizer, model.text_encoder->spec(), {text});
  if (json_get<Json>(entry, "ids", where) != ids_json(ids[0])) verification.same_ids = false;
  const at::Tensor noise = starting_noise(
      options.seed, number, {model.transformer->spec().in_channels, options.height, options.width});
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

std::string picture_commands(const std::string& prompt, double guidance) {
  const std::string text = Json(prompt).dump();
  return cat(
      "diffusers (there is no VAE: its latents are the pictures, and no T5: `max_sequence_length=0`):\n\n",
      "```python\nimport torch\nfrom diffusers import StableDiffusion3Pipeline\nfrom PIL import Image\n\n",
      "pipe = StableDiffusion3Pipeline.from_pretrained(\".\", vae=None, text_encoder_3=None, "
      "tokenizer_3=None,\n",
      "                                                torch_dtype=torch.float32)\n", "latents = pipe(", text,
      ", num_inference_steps=20, guidance_scale=", guidance, ", max_sequence_length=0,\n",
      "               output_type=\"latent\").images  # -1 .. 1\n",
      "values = ((latents[0].permute(1, 2, 0) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)\n",
      "Image.fromarray(values.squeeze(-1).numpy()).save(\"picture.png\")\n",
      "print(\"picture.png\", tuple(values.shape))\n```\n\n", "lathe itself:\n\n```\n",
      "lathe sample . --prompt ", text, " --guidance ", guidance, " --output pictures\n",
      "lathe verify .\n```\n");
}

PictureVerification export_pictures(const ModelSource& source, const PictureExportRequest& request,
                                    ExportOptions options) {
  require(!request.prompts.empty() && static_cast<std::int64_t>(request.prompts.size()) <= kMostPrompts,
          "an export of pictures wants 1 to ", kMostPrompts, " prompts for its reference");
  options.dtype = dtype_of_name(request.dtype);
  options.card = request.heading + picture_commands(request.prompts.front(), request.guidance);
  const PictureModel model = read_pipeline(source.folder);
  std::optional<double> rounding;
  {
    PictureModel exact = model;
    for (auto* tensors : {&exact.transformer_tensors, &exact.text_tensors})
      for (BundleTensor& tensor : *tensors) tensor = convert_tensor(std::move(tensor), options.dtype);
    const TextToPicture exported = build_picture_model(exact, at::kFloat);
    options.reference = make_reference(exported, request, options.dtype);
    if (options.dtype != DType::F32)
      rounding = largest_change(build_picture_model(model, at::kFloat), exported, request.prompts);
  }
  export_diffusers(model, options);
  PictureVerification verification = verify_pictures(options.directory);
  verification.rounding_error = rounding;
  write_file_atomically(options.directory + "/verification.json", verification.to_json().dump(2) + "\n");
  require(verification.passed(), "export '", options.directory,
          "' was written but does not draw what the model draws: ", verification.to_json().dump());
  return verification;
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
