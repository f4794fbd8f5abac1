// The folder of diffusers' StableDiffusionPipeline and StableDiffusionInpaintPipeline (Stable Diffusion 1 and
// 2): model_index.json, unet/, vae/, text_encoder/, tokenizer/, scheduler/.
#include "checkpoints/diffusion/pipeline_names.h"
#include "checkpoints/diffusion/pipeline_parts.h"

namespace lathe {

namespace {

constexpr const char* kPipeline = "StableDiffusionPipeline";
constexpr const char* kFillingPipeline = "StableDiffusionInpaintPipeline";

}  // namespace

bool is_stable_diffusion(const Json& index) {
  return index.is_object() && index.contains("_class_name") &&
         (index["_class_name"] == kPipeline || index["_class_name"] == kFillingPipeline);
}

void check_stable_diffusion(const PictureModel& model, const std::string& where) {
  require(model.unet && model.unet->cross, where, "/unet: wanted UNet2DConditionModel");
  const UNet2DSpec& unet = *model.unet;
  const AutoencoderSpec& vae = *model.vae;
  check_unet_2d(unet, where + "/unet");
  const std::int64_t latents = vae.latent_channels;
  require((unet.in_channels == latents || model.fills_in()) && unet.out_channels == latents, where,
          "/unet: in_channels and out_channels are ", unet.in_channels, " and ", unet.out_channels,
          ", wanted latent_channels of vae, ", latents, ", or ", 2 * latents + 1, " and ", latents,
          " of a network that fills in masked pictures");
  require(vae.in_channels == vae.out_channels, where, "/vae: out_channels is ", vae.out_channels,
          ", wanted in_channels, ", vae.in_channels);
  require(unet.cross->context_channels == model.text_encoder.hidden_size, where,
          "/unet: cross_attention_dim is ", unet.cross->context_channels,
          ", wanted hidden_size of text_encoder, ", model.text_encoder.hidden_size);
  check_tensors(model.unet_tensors, unet_2d_parameters(unet), where + "/unet");
  check_tensors(model.vae_tensors, autoencoder_parameters(vae), where + "/vae");
  check_text_parts(model, where);
}

PictureModel read_stable_diffusion(const std::string& folder, const Json& index) {
  require_parts(index, {"unet", "vae", "text_encoder", "tokenizer", "scheduler"}, folder + "/" + kModelIndex);
  PictureModel model;
  model.unet = read_part_config(folder, "unet", read_unet_2d_condition);
  model.vae = read_part_config(folder, "vae", read_autoencoder);
  model.text_encoder = read_part_config(folder, "text_encoder", read_clip_text);
  read_noise(folder, model);
  model.unet_tensors = read_network(folder, "unet", unet_2d_parameters(*model.unet));
  std::vector<BundleTensor> vae = read_part(folder + "/vae", kTransformerWeights);
  rename_old_attention(vae);
  model.vae_tensors =
      in_order(std::move(vae), autoencoder_parameters(*model.vae), folder + "/vae/" + kTransformerWeights);
  model.text_tensors = read_text_tensors(folder + "/text_encoder", model.text_encoder);
  check_text_length(folder, model.text_encoder.max_positions);
  model.tokenizer = load_tokenizer(folder + "/tokenizer");
  check_stable_diffusion(model, folder);
  return model;
}

std::vector<CheckpointFile> stable_diffusion_files(const PictureModel& model) {
  std::vector<CheckpointFile> files{
      json_file("scheduler/scheduler_config.json", scheduler_config(model.noise())),
      json_file("unet/config.json", unet_2d_config(*model.unet)),
      json_file("vae/config.json", autoencoder_config(*model.vae))};
  files.push_back({std::string("unet/") + kTransformerWeights, model.unet_tensors, ""});
  files.push_back({std::string("vae/") + kTransformerWeights, model.vae_tensors, ""});
  const std::string tokenizer_class = add_text_files(model, "", files);
  const Json nothing = Json::array({nullptr, nullptr});
  Json index = Json::object();
  index["_class_name"] = model.fills_in() ? kFillingPipeline : kPipeline;
  index["_diffusers_version"] = "0.31.0";
  index["feature_extractor"] = nothing;
  index["image_encoder"] = nothing;
  index["requires_safety_checker"] = false;
  index["safety_checker"] = nothing;
  index["scheduler"] = Json::array({"diffusers", scheduler_class(model.noise())});
  index["text_encoder"] =
      Json::array({"transformers",
                   model.text_encoder.projection_dim > 0 ? "CLIPTextModelWithProjection" : "CLIPTextModel"});
  index["tokenizer"] = Json::array({"transformers", tokenizer_class});
  index["unet"] = Json::array({"diffusers", "UNet2DConditionModel"});
  index["vae"] = Json::array({"diffusers", "AutoencoderKL"});
  files.push_back(json_file(kModelIndex, index));
  return files;
}

}  // namespace lathe
