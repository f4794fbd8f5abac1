#include "trainer/pictures/class_plan.h"

#include <algorithm>
#include <set>

#include "recipes/schema/error.h"
#include "trainer/pictures/unet_plan.h"

namespace lathe {

namespace {

constexpr std::size_t kMostClasses = 1000;

}  // namespace

void fit_classes(PictureModel& model, const Recipe& recipe, const std::vector<std::string>& captions) {
  const std::set<std::string> found(captions.begin(), captions.end());
  if (!recipe.model.path.empty()) {
    if (model.classes.empty()) return;
    for (const std::string& name : found)
      require(std::find(model.classes.begin(), model.classes.end(), name) != model.classes.end(), "the base ",
              recipe.model.path, " has no class '", name, "', which pictures of data.train belong to");
    return;
  }
  if (model.unet && !draws_classes(recipe)) return;
  const char* without = model.unet ? ", or set model.class_conditional: false" : "";
  if (found.contains(""))
    fail_usage(
        "data.train: some pictures have neither a caption nor a folder that names their class; give them one",
        without);
  if (found.size() > kMostClasses)
    fail_usage("data.train: ", found.size(), " different captions are more than ", kMostClasses,
               " classes; put pictures into a folder per class", without);
  model.classes.assign(found.begin(), found.end());
  const auto count = static_cast<std::int64_t>(found.size());
  if (model.unet)
    model.unet->num_class_embeds = count + 1;
  else
    model.dit->num_classes = count;
}

}  // namespace lathe
