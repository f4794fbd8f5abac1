#pragma once
// What the readers and writers of pipeline folders share: tensors of a part, found and checked by name.
#include <initializer_list>
#include <string>
#include <vector>

#include "checkpoints/bundle/tensor.h"
#include "checkpoints/diffusion/pipeline.h"

namespace lathe {

CheckpointFile json_file(std::string name, const Json& json);
// The tensors of a part's one file of weights; Error when it is not there.
std::vector<BundleTensor> read_part(const std::string& folder, const char* name);
// In the parameters' order; Error when one is missing or left over.
std::vector<BundleTensor> in_order(std::vector<BundleTensor> tensors,
                                   const std::vector<ParameterInfo>& parameters, const std::string& where);
// The weights of a network of diffusers, <folder>/<part>/diffusion_pytorch_model.safetensors, in the
// parameters' order.
std::vector<BundleTensor> read_network(const std::string& folder, const std::string& part,
                                       const std::vector<ParameterInfo>& parameters);
// A part's config.json by its reader, which names the file in errors.
template <typename Spec>
Spec read_part_config(const std::string& folder, const std::string& part,
                      Spec (*read)(const Json&, const std::string&)) {
  const std::string where = folder + "/" + part + "/config.json";
  return read(read_json(where), where);
}
// The scheduler's schedule and prediction, into the model.
void read_noise(const std::string& folder, PictureModel& model);
// Error unless model_index.json names all of these.
void require_parts(const Json& index, std::initializer_list<const char*> parts, const std::string& where);
// Error unless names, shapes and types are those of the parameters.
void check_tensors(const std::vector<BundleTensor>& tensors, const std::vector<ParameterInfo>& parameters,
                   const std::string& where);

// Error unless `part` is absent or [null, null]: a part that this program would leave out.
void refuse_part(const Json& index, const std::string& part, const std::string& why,
                 const std::string& where);
void refuse_vae(const Json& index, const std::string& where);
// Error when two classes have one name.
void check_classes(const std::vector<std::string>& classes, const std::string& where);
// A text encoder's tensors, in order.
std::vector<BundleTensor> read_text_tensors(const std::string& folder, const ClipTextSpec& spec);
// Error unless tokenizer/ cuts and pads texts to as many tokens: transformers goes by its model_max_length,
// the network here by the encoder's positions.
void check_text_length(const std::string& folder, std::int64_t positions);
// Error unless text encoder, its tensors and tokenizer fit each other.
void check_text_parts(const PictureModel& model, const std::string& where);
// The files of text_encoder<place>/ and tokenizer<place>/; returns the tokenizer's class.
std::string add_text_files(const PictureModel& model, const std::string& place,
                           std::vector<CheckpointFile>& files);

// stable_diffusion.cpp: StableDiffusionPipeline's folders.
bool is_stable_diffusion(const Json& index);
PictureModel read_stable_diffusion(const std::string& folder, const Json& index);
std::vector<CheckpointFile> stable_diffusion_files(const PictureModel& model);
void check_stable_diffusion(const PictureModel& model, const std::string& where);

// unet_pipeline.cpp: DDPMPipeline's folders.
bool is_unet_pipeline(const Json& index);
PictureModel read_unet_pipeline(const std::string& folder, const Json& index);
std::vector<CheckpointFile> unet_pipeline_files(const PictureModel& model);
void check_unet_model(const PictureModel& model, const std::string& where);

// dit_pipeline.cpp: DiTPipeline's folders.
bool is_dit_pipeline(const Json& index);
PictureModel read_dit_pipeline(const std::string& folder, const Json& index);
std::vector<CheckpointFile> dit_pipeline_files(const PictureModel& model);
void check_dit_model(const PictureModel& model, const std::string& where);

}  // namespace lathe
