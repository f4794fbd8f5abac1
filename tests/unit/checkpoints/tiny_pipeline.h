#pragma once
// A text-to-picture model of a few hundred values, every one random (zero-initialised ones too), and its
// files put into a folder.
#include <filesystem>
#include <string>
#include <vector>

#include "checkpoints/diffusion/pipeline.h"
#include "checkpoints/formats/safetensors.h"
#include "data/random/philox.h"

namespace lathe::tiny {

inline std::vector<BundleTensor> random_tensors(const std::vector<ParameterInfo>& parameters,
                                                std::uint32_t site) {
  std::vector<BundleTensor> all;
  for (const ParameterInfo& info : parameters) {
    std::int64_t count = 1;
    for (const std::int64_t size : info.shape) count *= size;
    const auto values = std::make_shared<std::vector<float>>(static_cast<std::size_t>(count));
    RandomStream({7, Purpose::Initialise, site++, 0, 0}).fill_normal(0, *values);
    const bool norm = info.name.find("norm") != std::string::npos && info.name.ends_with("weight") &&
                      info.shape.size() == 1;
    for (float& value : *values) value = value * 0.3F + (norm ? 1.0F : 0.0F);
    all.push_back(
        memory_tensor(info.name, DType::F32, info.shape, {std::as_bytes(std::span(*values)), values}));
  }
  return all;
}

inline PictureModel picture_model() {
  PictureModel model;
  JointTransformerSpec& network = model.transformer;
  network.sample_size = 8;
  network.patch_size = 2;
  network.pos_embed_max_size = 6;
  network.num_layers = 2;
  network.num_heads = 2;
  network.head_size = 8;
  network.joint_attention_dim = 28;
  network.pooled_projection_dim = 20;
  network.qk_norm = true;
  const std::vector<std::string> captions(
      2, "a red circle on the left, a blue square at the bottom, a green cross in the centre");
  model.tokenizer = train_tokenizer(captions, {.kind = "clip_bpe", .vocab_size = 560});
  ClipTextSpec& text = model.text_encoder;
  text.vocab_size = 562;
  text.hidden_size = 12;
  text.intermediate_size = 24;
  text.num_layers = 2;
  text.num_heads = 3;
  text.max_positions = 10;
  text.projection_dim = 10;
  text.eos_token_id = *model.tokenizer->special().eos;
  model.schedule.shift = 1.5;
  model.transformer_tensors = random_tensors(joint_transformer_parameters(network), 0);
  model.text_tensors = random_tensors(clip_text_parameters(text), 1000);
  return model;
}

// Of Stable Diffusion 1's kind (epsilon), or of 2's (velocity).
inline PictureModel stable_diffusion(bool second = false) {
  PictureModel model = picture_model();  // its tokenizer and its text encoder, but for the projection
  model.transformer_tensors.clear();
  model.text_encoder.projection_dim = 0;
  model.text_encoder.hidden_size = 64;
  model.text_encoder.num_heads = 1;
  UNet2DSpec unet;
  unet.sample_size = 4;
  unet.in_channels = unet.out_channels = 4;
  unet.block_out_channels = {32, 64};
  unet.layers_per_block = 1;
  unet.down_attention = {true, false};
  unet.up_attention = {false, true};
  unet.cross = CrossAttentionSpec{.context_channels = 64, .heads = {8, 8}};
  if (second) {
    model.text_encoder.activation = ClipActivation::Gelu;
    unet.cross->heads = {1, 1};
    unet.cross->linear_projection = true;
  }
  AutoencoderSpec vae;
  vae.sample_size = 16;
  vae.block_out_channels = {32, 64, 32};
  vae.layers_per_block = 1;
  model.unet = unet;
  model.vae = vae;
  model.schedule = {.kind = NoiseKind::ScaledLinear, .beta_start = 0.00085, .beta_end = 0.012};
  model.prediction = second ? Prediction::Velocity : Prediction::Epsilon;
  std::uint32_t site = 0;
  for (const PictureModel::Part& part : model.parts())
    *part.tensors = random_tensors(part.parameters, site += 10000);
  return model;
}

inline void write_folder(const std::string& folder, const std::vector<CheckpointFile>& files) {
  for (const CheckpointFile& file : files) {
    const std::filesystem::path path = std::filesystem::path(folder) / file.name;
    std::filesystem::create_directories(path.parent_path());
    if (!file.tensors.empty()) {
      write_safetensors(path.string(), file.tensors);
      continue;
    }
    const auto out = real_file_system().create(path.string());
    out->write(std::as_bytes(std::span(file.text)));
    out->close();
  }
}

}  // namespace lathe::tiny
