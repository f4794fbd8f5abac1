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

// unet_pipeline.cpp: DDPMPipeline's folders.
bool is_unet_pipeline(const Json& index);
PictureModel read_unet_pipeline(const std::string& folder, const Json& index);
std::vector<CheckpointFile> unet_pipeline_files(const PictureModel& model);
void check_unet_model(const PictureModel& model, const std::string& where);

}  // namespace lathe
