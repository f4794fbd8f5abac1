// The folder of diffusers' DDPMPipeline and DDIMPipeline: model_index.json, unet/, scheduler/. Of a network
// with classes it holds their names too, in classes.json, a file of ours that diffusers does not look at.
#include <filesystem>

#include "checkpoints/diffusion/pipeline_names.h"
#include "checkpoints/diffusion/pipeline_parts.h"

namespace lathe {

namespace {

constexpr const char* kClasses = "classes.json";
constexpr const char* kPipeline = "DDPMPipeline";

std::vector<std::string> read_classes(const std::string& folder, std::int64_t rows) {
  std::vector<std::string> names;
  const std::string path = folder + "/" + kClasses;
  if (!std::filesystem::exists(path)) {  // not ours: numbers are their names
    for (std::int64_t i = 0; i < rows; ++i) names.push_back(std::to_string(i));
    return names;
  }
  const Json list = read_json(path);
  require(list.is_array(), path, ": wanted a list of names");
  for (const Json& name : list) {
    require(name.is_string(), path, ": wanted names, found ",
            name.dump(-1, ' ', false, Json::error_handler_t::replace));
    names.push_back(name.get<std::string>());
  }
  return names;
}

}  // namespace

bool is_unet_pipeline(const Json& index) {
  return index.is_object() && index.contains("_class_name") &&
         (index["_class_name"] == kPipeline || index["_class_name"] == "DDIMPipeline");
}

void check_unet_model(const PictureModel& model, const std::string& where) {
  const UNet2DSpec& spec = *model.unet;
  check_unet_2d(spec, where + "/unet");
  require(spec.in_channels == spec.out_channels, where, "/unet: out_channels is ", spec.out_channels,
          ", wanted in_channels, ", spec.in_channels);
  const auto names = static_cast<std::int64_t>(model.classes.size());
  check_classes(model.classes, where + "/" + kClasses);
  require(names == spec.num_class_embeds || (names > 0 && names + 1 == spec.num_class_embeds), where, "/",
          kClasses, ": has ", names, " names where unet/config.json has ", spec.num_class_embeds,
          " rows; as many are wanted, or one less when the last row stands for no class");
  check_tensors(model.unet_tensors, unet_2d_parameters(spec), where + "/unet");
}

PictureModel read_unet_pipeline(const std::string& folder, const Json& index) {
  require_parts(index, {"unet", "scheduler"}, folder + "/" + kModelIndex);
  PictureModel model;
  model.unet = read_part_config(folder, "unet", read_unet_2d);
  model.classes = read_classes(folder, model.unet->num_class_embeds);
  read_noise(folder, model);
  model.unet_tensors = read_network(folder, "unet", unet_2d_parameters(*model.unet));
  check_unet_model(model, folder);
  return model;
}

std::vector<CheckpointFile> unet_pipeline_files(const PictureModel& model) {
  Json index = Json::object();
  index["_class_name"] = kPipeline;
  index["_diffusers_version"] = "0.31.0";
  index["scheduler"] = Json::array({"diffusers", scheduler_class(model.noise())});
  index["unet"] = Json::array({"diffusers", "UNet2DModel"});
  std::vector<CheckpointFile> files{
      json_file(kModelIndex, index),
      json_file("scheduler/scheduler_config.json", scheduler_config(model.noise())),
      json_file("unet/config.json", unet_2d_config(*model.unet))};
  files.push_back({std::string("unet/") + kTransformerWeights, model.unet_tensors, ""});
  if (!model.classes.empty()) files.push_back(json_file(kClasses, Json(model.classes)));
  return files;
}

}  // namespace lathe
