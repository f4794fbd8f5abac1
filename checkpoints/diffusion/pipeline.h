#pragma once
// A model that draws pictures as plain data, and the folder that holds it. By text: diffusers'
// StableDiffusion3Pipeline (model_index.json; transformer/, text_encoder/, tokenizer/, scheduler/) without a
// VAE, so that its latents are the pictures. The pipeline has two CLIP encoders; ours is in both places,
// written twice, and a third (T5) is left out. By text, with a VAE: StableDiffusionPipeline (unet/, vae/,
// text_encoder/, tokenizer/, scheduler/) of Stable Diffusion 1 and 2, or StableDiffusionInpaintPipeline with
// a UNet that reads a mask too; its safety checker is left out. By
// class, or by nothing: DDPMPipeline (unet/, scheduler/); by class: DiTPipeline (transformer/, scheduler/),
// its VAE left out too. Values only, thread-safe.
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "checkpoints/bundle/tensor.h"
#include "checkpoints/diffusion/autoencoder_kl.h"
#include "checkpoints/diffusion/clip_text.h"
#include "checkpoints/diffusion/dit.h"
#include "checkpoints/diffusion/joint_transformer.h"
#include "checkpoints/diffusion/scheduler_config.h"
#include "checkpoints/diffusion/unet_2d.h"
#include "checkpoints/store/store.h"
#include "data/tokenizers/tokenizer.h"

namespace lathe {

inline constexpr const char* kModelIndex = "model_index.json";

struct PictureModel {
  JointTransformerSpec transformer;
  ClipTextSpec text_encoder;  // with a projection; pooled_projection_dim of the transformer is twice its size
  NoiseScheduleSpec schedule;
  Prediction prediction = Prediction::Flow;
  std::vector<BundleTensor> transformer_tensors;  // diffusers' names, in the order of its parameters
  std::vector<BundleTensor> text_tensors;         // transformers' names, order of clip_text_parameters
  std::shared_ptr<const Tokenizer> tokenizer;     // model_max_length becomes text_encoder.max_positions
  // A UNet stands instead of the transformer; one that reads no text (unet->cross) instead of text encoder
  // and tokenizer too.
  std::optional<UNet2DSpec> unet;
  std::vector<BundleTensor> unet_tensors;  // diffusers' names, order of unet_2d_parameters
  // A DiT stands instead of transformer (transformer_tensors are its own), text encoder and tokenizer.
  std::optional<DiTSpec> dit;
  // Names of the first rows of its table of classes; one more row, if there is one, stands for no class.
  std::vector<std::string> classes;

  // With a UNet that reads texts: what it denoises are this one's latents, not pictures.
  std::optional<AutoencoderSpec> vae;
  std::vector<BundleTensor> vae_tensors;  // diffusers' names, order of autoencoder_parameters

  NoiseProcess noise() const { return {schedule, prediction}; }
  bool by_text() const { return unet ? unet->cross.has_value() : !dit; }
  std::int64_t class_rows() const {  // of the table of classes; 0: without
    return unet ? unet->num_class_embeds : dit ? dit->class_rows() : 0;
  }
  // A UNet that reads a mask and the latents of what it leaves beside the noisy ones
  // (StableDiffusionInpaintPipeline).
  bool fills_in() const { return unet && vae && unet->in_channels == 2 * vae->latent_channels + 1; }
  // Of pictures, in points a side.
  std::int64_t channels() const {
    return vae    ? vae->in_channels
           : unet ? unet->in_channels
           : dit  ? dit->in_channels
                  : transformer.in_channels;
  }
  std::int64_t sample_size() const {
    const std::int64_t side = unet ? unet->sample_size : dit ? dit->sample_size : transformer.sample_size;
    return vae ? side * vae->halvings() : side;
  }
  // The networks: what stands before their parameters' names in records, and their tensors.
  struct Part {
    std::string prefix;
    std::vector<ParameterInfo> parameters;
    std::vector<BundleTensor>* tensors;
  };
  std::vector<Part> parts();
};

// The folder's files, "transformer/config.json" and so on: for CheckpointStore::save or an exporter. Error
// when the parts do not fit each other or a tensor is missing, misshapen or of none of the parameters.
std::vector<CheckpointFile> pipeline_files(const PictureModel& model);

// Reads such a folder; untrusted. Errors name file and field: another pipeline, a T5 or two different text
// encoders, a table of positions that is not the one of config.json. Tensors stay in the mapped files.
// Classes without names are named by their numbers.
PictureModel read_pipeline(const std::string& folder);
// Has model_index.json, or is or has a single file of Stable Diffusion (single_file.h).
bool is_pipeline(const std::string& folder);

// What pipeline_files and read_pipeline demand of the parts; `where` leads the Error.
void check_picture_model(const PictureModel& model, const std::string& where);

}  // namespace lathe
