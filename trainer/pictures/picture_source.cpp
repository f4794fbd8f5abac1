#include "trainer/pictures/picture_source.h"

#include <algorithm>
#include <filesystem>

#include "data/tokenizers/clip.h"
#include "models/adapters/pictures.h"
#include "recipes/schema/load.h"

namespace lathe {

namespace {

PictureModel load_base(const FoundBase& base, const ModelSource& source, const char* what) {
  try {
    refuse_changed_base(source, base.source);
    return load_picture_model(base.source);
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

std::size_t captions_with_word(const std::string& word, const std::vector<std::string>& captions) {
  const auto has = std::ranges::count_if(
      captions, [&](const std::string& caption) { return caption.find(word) != std::string::npos; });
  if (has == 0)
    fail_usage("textual_inversion.token: none of the ", captions.size(), " captions has the word '", word,
               "'; write it into them, or set data.trigger to it");
  return static_cast<std::size_t>(has);
}

bool draws_pictures(const ModelSource& source) {
  return is_pipeline(source.folder) || is_picture_adapter(source.folder) ||
         is_textual_inversion(source.folder);
}

SamplingSection usual_sampling(const std::string& folder) {
  const std::string recipe = folder + "/recipe.yaml", file = folder + "/reference.json";
  if (std::filesystem::exists(recipe)) return load_recipe(recipe).recipe.diffusion.sampling;
  SamplingSection usual;
  if (!std::filesystem::exists(file)) return usual;
  const Json reference = read_json(file);
  const Json kept = json_get_or<Json>(reference, "sampling", reference, file);
  usual.guidance = json_get_or<double>(kept, "guidance", usual.guidance, file);
  if (!reference.contains("sampling")) return usual;  // steps and sampler are the comparison's own
  usual.steps = json_get_or<std::int64_t>(kept, "steps", usual.steps, file);
  usual.sampler = json_get_or<std::string>(kept, "sampler", usual.sampler, file);
  usual.guidance_from = json_get_or<double>(kept, "guidance_from", usual.guidance_from, file);
  usual.guidance_until = json_get_or<double>(kept, "guidance_until", usual.guidance_until, file);
  require(usual.steps >= 1 && usual.steps <= 1000, file, ": 'sampling.steps' wants 1 to 1000, found ",
          usual.steps);
  return usual;
}

AdaptedPictureModel load_adapted_pictures(const ModelSource& source) {
  require(is_picture_adapter(source.folder), source.description,
          " is no adapter of a text-to-picture model: ", source.folder, " lacks ", kPeftConfig, " or ",
          kPictureLora);
  const PeftAdapter settings = read_peft_config(source.folder);
  require(!settings.base.empty(), source.folder, "/", kPeftConfig,
          ": base_model_name_or_path is empty; name the base there");
  AdaptedPictureModel model;
  const FoundBase base = find_base(settings.base, source);
  model.base = load_base(base, source, "adapter");
  model.adapter = read_picture_adapter(source.folder, model.base);
  model.adapter.base = base.model;
  return model;
}

PictureModel load_picture_model(const ModelSource& source) {
  if (is_textual_inversion(source.folder)) {
    const TextualInversion learned = read_textual_inversion(source.folder);
    return with_new_word(load_base(find_base(learned.base, source), source, "new word"), learned);
  }
  if (!is_picture_adapter(source.folder)) return read_pipeline(source.folder);
  AdaptedPictureModel model = load_adapted_pictures(source);
  return merge_adapter(std::move(model.base), model.adapter);
}

}  // namespace lathe
