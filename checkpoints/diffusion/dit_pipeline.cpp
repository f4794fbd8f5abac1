// The folder of diffusers' DiTPipeline: model_index.json with the names of the classes, transformer/,
// scheduler/. That pipeline wants a VAE and takes row 1000 of the table of classes for none: a network of
// pixels is loaded and run part by part instead, as the card of an export says.
#include "checkpoints/diffusion/pipeline_names.h"
#include "checkpoints/diffusion/pipeline_parts.h"

namespace lathe {

namespace {

constexpr const char* kPipeline = "DiTPipeline";
constexpr const char* kNames = "id2label";

std::vector<std::string> read_names(const Json& index, std::int64_t count, const std::string& where) {
  std::vector<std::string> names;
  const bool named = index.contains(kNames) && !index[kNames].is_null();
  if (named)
    require(index[kNames].is_object() && static_cast<std::int64_t>(index[kNames].size()) == count, where,
            ": '", kNames, "' wants a name for each of the ", count, " classes of transformer/config.json");
  for (std::int64_t row = 0; row < count; ++row) {
    const std::string number = std::to_string(row);  // their name where they have none
    names.push_back(named ? json_get<std::string>(index[kNames], number.c_str(), where) : number);
  }
  return names;
}

}  // namespace

bool is_dit_pipeline(const Json& index) {
  return index.is_object() && index.contains("_class_name") && index["_class_name"] == kPipeline;
}

void check_dit_model(const PictureModel& model, const std::string& where) {
  const DiTSpec& spec = *model.dit;
  check_dit(spec, where + "/transformer");
  require(spec.in_channels == spec.out_channels, where, "/transformer: out_channels is ", spec.out_channels,
          ", wanted in_channels, ", spec.in_channels,
          "; networks that say their variance too are not supported");
  require(static_cast<std::int64_t>(model.classes.size()) == spec.num_classes, where, ": has ",
          model.classes.size(), " names of classes where transformer/config.json has ", spec.num_classes,
          " (num_embeds_ada_norm)");
  check_classes(model.classes, where + "/" + kModelIndex + ": " + kNames);
  check_tensors(model.transformer_tensors, dit_parameters(spec), where + "/transformer");
}

PictureModel read_dit_pipeline(const std::string& folder, const Json& index) {
  const std::string index_at = folder + "/" + kModelIndex;
  refuse_vae(index, index_at);
  require_parts(index, {"transformer", "scheduler"}, index_at);
  PictureModel model;
  model.dit = read_part_config(folder, "transformer", read_dit);
  model.classes = read_names(index, model.dit->num_classes, index_at);
  read_noise(folder, model);
  model.transformer_tensors = read_network(folder, "transformer", dit_parameters(*model.dit));
  check_dit_model(model, folder);
  return model;
}

std::vector<CheckpointFile> dit_pipeline_files(const PictureModel& model) {
  Json index = Json::object(), names = Json::object();
  for (std::size_t row = 0; row < model.classes.size(); ++row)
    names[std::to_string(row)] = model.classes[row];
  index["_class_name"] = kPipeline;
  index["_diffusers_version"] = "0.31.0";
  index[kNames] = names;
  index["scheduler"] = Json::array({"diffusers", scheduler_class(model.noise())});
  index["transformer"] = Json::array({"diffusers", "DiTTransformer2DModel"});
  index["vae"] = Json::array({nullptr, nullptr});
  std::vector<CheckpointFile> files{
      json_file(kModelIndex, index),
      json_file("scheduler/scheduler_config.json", scheduler_config(model.noise())),
      json_file("transformer/config.json", dit_config(*model.dit))};
  files.push_back({std::string("transformer/") + kTransformerWeights, model.transformer_tensors, ""});
  return files;
}

}  // namespace lathe
