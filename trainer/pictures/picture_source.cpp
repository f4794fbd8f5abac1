#include "trainer/pictures/picture_source.h"

#include "models/adapters/pictures.h"

namespace lathe {

bool draws_pictures(const ModelSource& source) { return is_pipeline(source.folder) || is_picture_adapter(source.folder); }

AdaptedPictureModel load_adapted_pictures(const ModelSource& source) {
  require(is_picture_adapter(source.folder), source.description, " is no adapter of a text-to-picture model: ", source.folder,
          " lacks ", kPeftConfig, " or ", kPictureLora);
  const PeftAdapter settings = read_peft_config(source.folder);
  require(!settings.base.empty(), source.folder, "/", kPeftConfig, ": base_model_name_or_path is empty; name the base there");
  AdaptedPictureModel model;
  try {
    model.base = load_picture_model(resolve_model(settings.base));
  } catch (const Error& e) {
    fail(source.folder, ": the adapter's base cannot be loaded: ", e.what());
  }
  model.adapter = read_picture_adapter(source.folder, model.base);
  return model;
}

PictureModel load_picture_model(const ModelSource& source) {
  if (!is_picture_adapter(source.folder)) return read_pipeline(source.folder);
  AdaptedPictureModel model = load_adapted_pictures(source);
  return merge_adapter(std::move(model.base), model.adapter);
}

}  // namespace lathe
