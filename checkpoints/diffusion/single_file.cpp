#include "checkpoints/diffusion/single_file.h"

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "checkpoints/diffusion/original_names.h"
#include "checkpoints/diffusion/pipeline_parts.h"
#include "checkpoints/diffusion/single_file_layout.h"
#include "checkpoints/formats/safetensors.h"

namespace lathe {

namespace {

namespace files = std::filesystem;

constexpr const char* kArchitecture = "stable-diffusion-v1";
constexpr std::int64_t kMostSide = 8192;
constexpr const char* kResolutionKey = "modelspec.resolution";
constexpr const char* kPredictionKey = "modelspec.prediction_type";

// Tables and losses of the training code, averages kept beside the weights, and CLIP's 0, 1, 2 ...
bool is_left_out(const std::string& name) {
  if (name.ends_with("text_model.embeddings.position_ids")) return true;
  for (const char* front :
       {"model_ema.", "first_stage_model.loss.", "alphas_cumprod", "betas", "log_one_minus_", "posterior_",
        "sqrt_", "logvar", "cond_stage_model.logit_scale"})
    if (name.starts_with(front)) return true;
  return false;
}

// A tensor's original name, by what its part is called in PictureModel::parts.
std::string original_name(const std::string& part, const std::string& name, const PictureModel& model) {
  if (part == "unet.") return kOriginalUNet + original_unet_name(name, *model.unet);
  if (part == "vae.") return kOriginalVae + original_vae_name(name, *model.vae);
  return kOriginalText + name;
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
  model.schedule.kind = NoiseKind::ScaledLinear;
  model.schedule.beta_start = 0.00085;
  model.schedule.beta_end = 0.012;
  model.prediction = Prediction::Epsilon;
  return model;
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
  if (file.metadata.contains(kPredictionKey) && file.metadata.at(kPredictionKey) == "v")
    model.prediction = Prediction::Velocity;
  if (const std::int64_t side = told_side(file.metadata); side > 0 && side % model.vae->halvings() == 0) {
    model.vae->sample_size = side;
    model.unet->sample_size = side / model.vae->halvings();
  }
  model.tokenizer = load_tokenizer(tokenizer.string());
  std::map<std::string, BundleTensor> by_name;
  for (BundleTensor& tensor : file.tensors) {
    if (is_left_out(tensor.name)) continue;
    std::string name = tensor.name;
    by_name.emplace(std::move(name), std::move(tensor));
  }
  for (const PictureModel::Part& part : model.parts())
    for (const ParameterInfo& info : part.parameters) {
      const std::string name = original_name(part.prefix, info.name, model);
      const auto found = by_name.find(name);
      require(found != by_name.end(), path, ": tensor '", name, "' is missing");
      BundleTensor tensor = std::move(found->second);
      by_name.erase(found);
      if (part.prefix == "vae." && is_point_convolution(info.name)) reshape_point(tensor, false);
      tensor.name = info.name;
      part.tensors->push_back(std::move(tensor));
    }
  require(by_name.empty(), path, ": tensor '", by_name.empty() ? "" : by_name.begin()->first,
          "' is none of Stable Diffusion's networks'");
  check_picture_model(model, path);
  return model;
}

std::vector<BundleTensor> single_file_tensors(const PictureModel& model) {
  if (!model.vae)
    fail_usage("format single_file: wants Stable Diffusion, a UNet that reads texts with its VAE");
  PictureModel written = model;
  std::vector<BundleTensor> all;
  for (const PictureModel::Part& part : written.parts())
    for (const BundleTensor& tensor : *part.tensors) {
      all.push_back(tensor);
      all.back().name = original_name(part.prefix, tensor.name, model);
      if (part.prefix == "vae." && is_point_convolution(tensor.name)) reshape_point(all.back(), true);
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
          {"modelspec.architecture", kArchitecture},
          {"modelspec.implementation", "diffusers"},
          {"modelspec.title", title},
          {kResolutionKey, side + "x" + side},
          {kPredictionKey, model.prediction == Prediction::Velocity ? "v" : "epsilon"}};
}

}  // namespace lathe
