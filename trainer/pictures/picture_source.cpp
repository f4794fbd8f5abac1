#include "trainer/pictures/picture_source.h"

#include <algorithm>
#include <filesystem>

#include "data/tokenizers/clip.h"
#include "models/adapters/pictures.h"

namespace lathe {

namespace {

PictureModel load_base(const std::string& base, const ModelSource& source, const char* what) {
  try {
    const ModelSource found = resolve_model(base);
    refuse_changed_base(source, found);
    return load_picture_model(found);
  } catch (const Error& e) {
    fail(source.folder, ": the ", what, "'s base cannot be loaded: ", e.what());
  }
}

}  // namespace

std::int64_t side_step(const PictureModel& model) {
  const std::int64_t step = model.unet  ? model.unet->smallest_side()
                            : model.dit ? model.dit->patch_size
                                        : model.transformer.patch_size;
  return model.vae ? model.vae->halvings() * step : step;
}

std::string written_scheduler(const std::string& folder, const NoiseProcess& process) {
  const std::string file = folder + "/scheduler/scheduler_config.json";
  if (!std::filesystem::exists(file)) return scheduler_class(process);
  return json_get_or<std::string>(read_json(file), "_class_name", scheduler_class(process), file);
}

std::string scheduler_left(const std::string& folder, const NoiseProcess& process) {
  const std::string file = folder + "/scheduler/scheduler_config.json";
  if (!std::filesystem::exists(file)) return "";
  const std::string own = scheduler_class(process), written = written_scheduler(folder, process);
  const Json base = read_json(file);
  std::string left = written == own ? "" : written;
  if (process.schedule.kind == NoiseKind::Flow) return left;
  Json ours{
      {"steps_offset", 0}, {"thresholding", false}, {"variance_type", "fixed_small"}};  // diffusers' own
  const Json exported = scheduler_config(process);
  for (const char* key : {"timestep_spacing", "set_alpha_to_one", "clip_sample"})
    ours[key] = exported.at(key);
  for (const auto& [key, value] : ours.items())
    if (base.contains(key) && base[key] != value)
      left += cat(left.empty() ? "" : ", ", key, " ",
                  base[key].is_string() ? base[key].get<std::string>() : base[key].dump());
  return left;
}

std::string cut_captions(const std::shared_ptr<const Tokenizer>& tokenizer, const ClipTextSpec& encoder,
                         const std::vector<std::string>& captions) {
  if (!tokenizer) return "";
  const auto length = static_cast<std::size_t>(encoder.max_positions);
  const auto cut = std::ranges::count_if(captions, [&](const std::string& caption) {
    return prompt_ids(*tokenizer, caption, length).wanted > length;
  });
  return cut == 0 ? ""
                  : cat(cut, " of ", captions.size(), " captions are longer than the ", length,
                        " tokens that the text encoder reads; the rest of each is not seen");
}

bool draws_pictures(const ModelSource& source) {
  return is_pipeline(source.folder) || is_picture_adapter(source.folder) ||
         is_textual_inversion(source.folder);
}

AdaptedPictureModel load_adapted_pictures(const ModelSource& source) {
  require(is_picture_adapter(source.folder), source.description,
          " is no adapter of a text-to-picture model: ", source.folder, " lacks ", kPeftConfig, " or ",
          kPictureLora);
  const PeftAdapter settings = read_peft_config(source.folder);
  require(!settings.base.empty(), source.folder, "/", kPeftConfig,
          ": base_model_name_or_path is empty; name the base there");
  AdaptedPictureModel model;
  model.base = load_base(settings.base, source, "adapter");
  model.adapter = read_picture_adapter(source.folder, model.base);
  return model;
}

PictureModel load_picture_model(const ModelSource& source) {
  if (is_textual_inversion(source.folder)) {
    const TextualInversion learned = read_textual_inversion(source.folder);
    return with_new_word(load_base(learned.base, source, "new word"), learned);
  }
  if (!is_picture_adapter(source.folder)) return read_pipeline(source.folder);
  AdaptedPictureModel model = load_adapted_pictures(source);
  return merge_adapter(std::move(model.base), model.adapter);
}

}  // namespace lathe
