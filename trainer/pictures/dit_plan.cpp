#include "trainer/pictures/dit_plan.h"

#include "recipes/schema/describe.h"
#include "recipes/schema/error.h"
#include "recipes/schema/reader.h"

namespace lathe {

PictureModel plan_dit(const Recipe& recipe, std::int64_t side, std::vector<RecipeProblem>& problems) {
  DiTSection section;
  decode_section(recipe.model.config, section, problems);
  const Place place =
      recipe.model.config.entries.empty() ? Place{} : recipe.model.config.entries.front().key_place;
  const auto wrong = [&](const std::string& text) { problems.push_back({place, text}); };
  DiTSpec spec;
  spec.sample_size = side;
  spec.in_channels = spec.out_channels = recipe.data.channels;
  spec.num_layers = section.num_layers;
  spec.num_heads = section.num_attention_heads;
  spec.head_size = section.attention_head_dim;
  spec.patch_size = section.patch_size;
  spec.num_classes = 1;
  try {
    check_dit(spec, "'model'");
  } catch (const Error& e) {
    wrong(e.what());
  }
  if (recipe.data.bucket_step > 0 || recipe.data.resolution.front() != recipe.data.resolution.back())
    wrong("'model.family: dit' draws squares: one number for data.resolution, no data.bucket_step");
  PictureModel model;
  model.dit = spec;
  return model;
}

std::vector<Field> dit_keys() { return describe_fields(DiTSection{}); }

}  // namespace lathe
