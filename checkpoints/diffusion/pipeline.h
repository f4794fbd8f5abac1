#pragma once
// A text-to-picture model as plain data, and the folder that holds it: diffusers' StableDiffusion3Pipeline
// (model_index.json; transformer/, text_encoder/, tokenizer/, scheduler/) without a VAE, so that its latents
// are the pictures. The pipeline has two CLIP encoders; ours is in both places, written twice, and a third
// (T5) is left out. Values only, thread-safe.
#include <memory>
#include <string>
#include <vector>

#include "checkpoints/bundle/tensor.h"
#include "checkpoints/diffusion/clip_text.h"
#include "checkpoints/diffusion/joint_transformer.h"
#include "checkpoints/diffusion/scheduler_config.h"
#include "checkpoints/store/store.h"
#include "data/tokenizers/tokenizer.h"

namespace lathe {

inline constexpr const char* kModelIndex = "model_index.json";

struct PictureModel {
  JointTransformerSpec transformer;
  ClipTextSpec text_encoder;  // with a projection; pooled_projection_dim of the transformer is twice its size
  NoiseScheduleSpec schedule;
  Prediction prediction = Prediction::Flow;
  std::vector<BundleTensor> transformer_tensors;  // diffusers' names, order of joint_transformer_parameters
  std::vector<BundleTensor> text_tensors;         // transformers' names, order of clip_text_parameters
  std::shared_ptr<const Tokenizer> tokenizer;     // model_max_length becomes text_encoder.max_positions
  NoiseProcess noise() const { return {schedule, prediction}; }
};

// The folder's files, "transformer/config.json" and so on: for CheckpointStore::save or an exporter. Error
// when the parts do not fit each other or a tensor is missing, misshapen or of none of the parameters.
std::vector<CheckpointFile> pipeline_files(const PictureModel& model);

// Reads such a folder; untrusted. Errors name file and field: another pipeline, a VAE, a T5 or two different
// text encoders, a table of positions that is not the one of config.json. Tensors stay in the mapped files.
PictureModel read_pipeline(const std::string& folder);
bool is_pipeline(const std::string& folder);  // has model_index.json

// What pipeline_files and read_pipeline demand of the parts; `where` leads the Error.
void check_picture_model(const PictureModel& model, const std::string& where);

}  // namespace lathe
