#pragma once
// Stable Diffusion 1 or 2 in one safetensors file of the original names (original_names.h): the networks'
// shapes are read off its tensors, their remaining settings are those of the published model. What a file
// cannot say (a tokenizer) stands in a folder `tokenizer` beside it. Values only, thread-safe.
#include <map>
#include <string>
#include <vector>

#include "checkpoints/diffusion/pipeline.h"

namespace lathe {

inline constexpr const char* kSingleFile = "stable-diffusion.safetensors";  // in an export of ours

// `path` itself when it is such a file, the one named kSingleFile in the folder `path`, or "". Error for a
// damaged one.
std::string single_file_at(const std::string& path);
// Untrusted. What the network says is told by the header alone (modelspec.prediction_type); without one
// version 1 says the noise and version 2 the velocity, as most published files do. Errors name the file and
// the tensor: one that is missing or of none of the networks.
PictureModel read_single_file(const std::string& path);

// Where a parameter stands, by what its part is called in PictureModel::parts. Queries, keys and values of
// version 2's text encoder share a name with their third behind it. Error for one without a name.
std::string single_file_name(const std::string& part, const std::string& name, const PictureModel& model);

// All tensors of a model under the original names. Error naming the setting that a reader of the file would
// take otherwise: heads other than 8, a text encoder that is not CLIP's own ...
std::vector<BundleTensor> single_file_tensors(const PictureModel& model);
// The file's header (https://github.com/Stability-AI/ModelSpec).
std::map<std::string, std::string> single_file_metadata(const PictureModel& model, const std::string& title);

}  // namespace lathe
