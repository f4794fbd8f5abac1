#include "trainer/pictures/picture_source.h"

#include "models/adapters/pictures.h"

namespace lathe {

namespace {

PictureModel load_base(const std::string& base, const ModelSource& source, const char* what) {
  try {
    return load_picture_model(resolve_model(base));
  } catch (const Error& e) {
    fail(source.folder, ": the ", what, "'s base cannot be loaded: ", e.what());
  }
}

}  // namespace

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
