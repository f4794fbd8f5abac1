#include "checkpoints/diffusion/single_file.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <set>

#include "checkpoints/diffusion/open_clip.h"
#include "checkpoints/diffusion/original_names.h"
#include "checkpoints/diffusion/pipeline_parts.h"
#include "checkpoints/diffusion/single_file_layout.h"
#include "checkpoints/formats/safetensors.h"

namespace lathe {

namespace {

namespace files = std::filesystem;

constexpr std::int64_t kMostSide = 8192;
constexpr const char* kResolutionKey = "modelspec.resolution";
constexpr const char* kPredictionKey = "modelspec.prediction_type";

// Version 2's text encoder is OpenCLIP's: with the exact activation.
bool is_second(const PictureModel& model) { return model.text_encoder.activation == ClipActivation::Gelu; }

// Tables and losses of the training code, averages kept beside the weights, CLIP's 0, 1, 2 ..., and of
// OpenCLIP what stands behind the layers that are read.
bool is_left_out(const std::string& name, const PictureModel& model) {
  if (is_second(model) &&
      (name == cat(kOriginalOpenClip, "logit_scale") || name == cat(kOriginalOpenClip, "text_projection") ||
       name.starts_with(
           cat(kOriginalOpenClip, "transformer.resblocks.", model.text_encoder.num_layers, "."))))
    return true;
  if (name.ends_with("text_model.embeddings.position_ids")) return true;
  for (const char* front :
       {"model_ema.", "first_stage_model.loss.", "alphas_cumprod", "betas", "log_one_minus_", "posterior_",
        "sqrt_", "logvar", "cond_stage_model.logit_scale"})
    if (name.starts_with(front)) return true;
  return false;
}

// Where a parameter stands, by what its part is called in PictureModel::parts.
OpenClipPlace original_place(const std::string& part, const std::string& name, const PictureModel& model) {
  if (part == "unet.") return {kOriginalUNet + original_unet_name(name, *model.unet)};
  if (part == "vae.") return {kOriginalVae + original_vae_name(name, *model.vae)};
  if (!is_second(model)) return {kOriginalText + name};
  OpenClipPlace place = open_clip_place(name);
  place.name = kOriginalOpenClip + place.name;
  return place;
}

// (out, in) and (out, in, 1, 1) have the same bytes.
void reshape_point(BundleTensor& tensor, bool to_convolution) {
  if (to_convolution) {
    tensor.shape.push_back(1);
    tensor.shape.push_back(1);
  } else if (tensor.shape.size() == 4 && tensor.shape[2] == 1 && tensor.shape[3] == 1) {
    tensor.shape.resize(2);
  }
}

// "512x512" -> 512; 0 when it says nothing of a square.
std::int64_t told_side(const std::map<std::string, std::string>& metadata) {
  const auto found = metadata.find(kResolutionKey);
  if (found == metadata.end()) return 0;
  const std::string& text = found->second;
  const auto cut = text.find('x');
  std::int64_t side = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + std::min(cut, text.size()), side);
  const bool square = error == std::errc() && cut != std::string::npos && end == text.data() + cut &&
                      text.substr(0, cut) == text.substr(cut + 1);
  return square && side <= kMostSide ? side : 0;
}

TensorShapes shapes_of(const std::vector<BundleTensor>& tensors, const std::string& where) {
  std::map<std::string, std::vector<std::int64_t>> shapes;
  for (const BundleTensor& tensor : tensors) shapes.emplace(tensor.name, tensor.shape);
  return {std::move(shapes), where};
}

PictureModel read_layout(const TensorShapes& shapes) {
  PictureModel model;
  model.unet = single_file_unet(shapes);
  model.vae = single_file_vae(shapes);
  model.text_encoder = single_file_text(shapes);
  require(model.unet->cross->linear_projection == is_second(model), shapes.where(),
          ": its UNet's projections (linear layers in version 2) and its text encoder (OpenCLIP's, "
          "hidden_act gelu, in "
          "version 2) are not of the same version of Stable Diffusion");
  model.schedule.kind = NoiseKind::ScaledLinear;
  model.schedule.beta_start = 0.00085;
  model.schedule.beta_end = 0.012;
  model.prediction = is_second(model) ? Prediction::Velocity : Prediction::Epsilon;
  return model;
}

// https://github.com/Stability-AI/ModelSpec
std::string architecture(const PictureModel& model) {
  if (!is_second(model)) return "stable-diffusion-v1";
  return model.prediction == Prediction::Velocity ? "stable-diffusion-v2-768-v" : "stable-diffusion-v2-512";
}

void check_same(const Json& written, const Json& read, const char* part) {
  for (const auto& [key, value] : written.items())
    if (key != "sample_size" && key != "eos_token_id" && read.contains(key) && read.at(key) != value)
      fail("a single file cannot say that ", key, " of the ", part, " is ", value.dump(),
           "; its readers take ", read.at(key).dump(), ". Export a folder (format: diffusers)");
}

}  // namespace

std::string single_file_at(const std::string& path) {
  const std::string file = files::is_directory(path) ? path + "/" + kSingleFile : path;
  if (!file.ends_with(".safetensors") || !files::is_regular_file(file)) return "";
  const auto tensors = read_safetensors(file).tensors;
  const bool original = std::any_of(tensors.begin(), tensors.end(),
                                    [](const BundleTensor& t) { return t.name.starts_with(kOriginalUNet); });
  return original ? file : "";
}

PictureModel read_single_file(const std::string& path) {
  SafetensorsFile file = read_safetensors(path);
  const auto tokenizer = files::path(path).parent_path() / "tokenizer";
  require(files::exists(tokenizer), path,
          ": holds no tokenizer; put CLIP's (vocab.json and merges.txt) into ", tokenizer.string());
  PictureModel model = read_layout(shapes_of(file.tensors, path));
  if (file.metadata.contains(kPredictionKey))
    model.prediction = file.metadata.at(kPredictionKey) == "v" ? Prediction::Velocity : Prediction::Epsilon;
  if (const std::int64_t side = told_side(file.metadata); side > 0 && side % model.vae->halvings() == 0) {
    model.vae->sample_size = side;
    model.unet->sample_size = side / model.vae->halvings();
  }
  model.tokenizer = load_tokenizer(tokenizer.string());
  std::map<std::string, BundleTensor> by_name;
  for (BundleTensor& tensor : file.tensors) {
    if (is_left_out(tensor.name, model)) continue;
    std::string name = tensor.name;
    by_name.emplace(std::move(name), std::move(tensor));
  }
  std::set<std::string> used;
  for (const PictureModel::Part& part : model.parts())
    for (const ParameterInfo& info : part.parameters) {
      const OpenClipPlace place = original_place(part.prefix, info.name, model);
      const auto found = by_name.find(place.name);
      require(found != by_name.end(), path, ": tensor '", place.name, "' is missing");
      BundleTensor tensor = place.third < 0 ? found->second : third_of(found->second, place.third);
      used.insert(place.name);
      if (part.prefix == "vae." && is_point_convolution(info.name)) reshape_point(tensor, false);
      tensor.name = info.name;
      part.tensors->push_back(std::move(tensor));
    }
  for (const std::string& name : used) by_name.erase(name);
  require(by_name.empty(), path, ": tensor '", by_name.empty() ? "" : by_name.begin()->first,
          "' is none of Stable Diffusion's networks'");
  check_picture_model(model, path);
  return model;
}

std::string single_file_name(const std::string& part, const std::string& name, const PictureModel& model) {
  const OpenClipPlace place = original_place(part, name, model);
  return place.third < 0 ? place.name : cat(place.name, "[", place.third, "]");
}

std::vector<BundleTensor> single_file_tensors(const PictureModel& model) {
  if (!model.vae)
    fail_usage("format single_file: wants Stable Diffusion, a UNet that reads texts with its VAE");
  if (model.prediction != Prediction::Epsilon && model.prediction != Prediction::Velocity)
    fail_usage(
        "format single_file: programs take one for a network of epsilon or velocity, and this one predicts ",
        model.prediction == Prediction::Sample ? "the sample" : "a flow", "; write format diffusers");
  PictureModel written = model;
  std::vector<BundleTensor> all;
  for (const PictureModel::Part& part : written.parts()) {
    if (part.prefix == "text_encoder." && is_second(model)) {
      for (BundleTensor& tensor : open_clip_tensors(*part.tensors)) all.push_back(std::move(tensor));
      continue;
    }
    for (const BundleTensor& tensor : *part.tensors) {
      all.push_back(tensor);
      all.back().name = original_place(part.prefix, tensor.name, model).name;
      if (part.prefix == "vae." && is_point_convolution(tensor.name)) reshape_point(all.back(), true);
    }
  }
  const PictureModel read = read_layout(shapes_of(all, "single file"));
  check_same(unet_2d_config(*model.unet), unet_2d_config(*read.unet), "UNet");
  check_same(autoencoder_config(*model.vae), autoencoder_config(*read.vae), "VAE");
  check_same(clip_text_config(model.text_encoder), clip_text_config(read.text_encoder), "text encoder");
  check_same(scheduler_config({model.schedule, Prediction::Epsilon}),
             scheduler_config({read.schedule, Prediction::Epsilon}), "scheduler");
  return all;
}

std::map<std::string, std::string> single_file_metadata(const PictureModel& model, const std::string& title) {
  const std::string side = std::to_string(model.sample_size());
  return {{"format", "pt"},
          {"modelspec.sai_model_spec", "1.0.1"},
          {"modelspec.architecture", architecture(model)},
          {"modelspec.implementation", "diffusers"},
          {"modelspec.title", title},
          {kResolutionKey, side + "x" + side},
          {kPredictionKey, model.prediction == Prediction::Velocity ? "v" : "epsilon"}};
}

}  // namespace lathe
