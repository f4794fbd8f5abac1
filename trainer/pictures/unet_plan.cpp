#include "trainer/pictures/unet_plan.h"

#include <algorithm>

#include "recipes/schema/describe.h"
#include "recipes/schema/error.h"
#include "recipes/schema/reader.h"

namespace lathe {

namespace {

constexpr std::size_t kMostLevels = 8;

UNetSection decode_unet(const Recipe& recipe, std::vector<RecipeProblem>& problems) {
  UNetSection section;
  decode_section(recipe.model.config, section, problems);
  return section;
}

}  // namespace

PictureModel plan_unet(const Recipe& recipe, std::int64_t side, std::vector<RecipeProblem>& problems) {
  const UNetSection section = decode_unet(recipe, problems);
  const Place place =
      recipe.model.config.entries.empty() ? Place{} : recipe.model.config.entries.front().key_place;
  const auto wrong = [&](const std::string& text) { problems.push_back({place, text}); };
  UNet2DSpec spec;
  spec.sample_size = side;
  spec.in_channels = spec.out_channels = recipe.data.channels;
  spec.block_out_channels = section.block_out_channels;
  spec.down_attention.clear();
  for (const std::string& name : section.down_block_types) {
    if (name != "DownBlock2D" && name != "AttnDownBlock2D")
      wrong(cat("'model.down_block_types' wants DownBlock2D or AttnDownBlock2D, found '", name, "'"));
    spec.down_attention.push_back(name == "AttnDownBlock2D");
  }
  spec.up_attention.assign(spec.down_attention.rbegin(), spec.down_attention.rend());
  spec.mid_attention = section.add_attention;
  spec.layers_per_block = section.layers_per_block;
  spec.attention_head_dim = section.attention_head_dim;
  spec.norm_num_groups = section.norm_num_groups;
  const auto& channels = spec.block_out_channels;
  const bool sizes =
      !channels.empty() && channels.size() <= kMostLevels &&
      std::all_of(channels.begin(), channels.end(), [](std::int64_t c) { return c > 0 && c <= 1 << 16; });
  if (!sizes) {
    wrong(cat("'model.block_out_channels' wants 1 to ", kMostLevels, " levels of 1 to 65536 channels"));
    return {};
  }
  try {
    check_unet_2d(spec, "'model'");
  } catch (const Error& e) {
    wrong(e.what());
  }
  for (const std::int64_t one : recipe.data.resolution)
    if (one % spec.smallest_side() != 0)
      wrong(cat("'model.block_out_channels' has ", channels.size(), " levels: data.resolution ", one,
                " wants to be a multiple of ", spec.smallest_side()));
  if (recipe.data.bucket_step % spec.smallest_side() != 0)
    wrong(cat("'model.block_out_channels' has ", channels.size(),
              " levels: data.bucket_step wants to be a multiple of ", spec.smallest_side()));
  PictureModel model;
  model.unet = spec;
  return model;
}

bool draws_classes(const Recipe& recipe) {
  std::vector<RecipeProblem> problems;  // told by checked_recipe
  return decode_unet(recipe, problems).class_conditional;
}

std::vector<Field> unet_keys() { return describe_fields(UNetSection{}); }

}  // namespace lathe
