#pragma once
// What the readers and writers of pipeline folders share: tensors of a part, found and checked by name.
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
// Error unless names, shapes and types are those of the parameters.
void check_tensors(const std::vector<BundleTensor>& tensors, const std::vector<ParameterInfo>& parameters,
                   const std::string& where);

// Error unless `part` is absent or [null, null]: a part that this program would leave out.
void refuse_part(const Json& index, const std::string& part, const std::string& why,
                 const std::string& where);
void refuse_vae(const Json& index, const std::string& where);
// Error when two classes have one name.
void check_classes(const std::vector<std::string>& classes, const std::string& where);

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
