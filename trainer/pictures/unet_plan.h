#pragma once
// What a diffusion recipe of `family: unet2d` trains: a UNet of pixels, told the class of a picture or
// nothing.
#include <string>
#include <vector>

#include "checkpoints/diffusion/pipeline.h"
#include "recipes/schema/describe.h"
#include "recipes/schema/recipe.h"

namespace lathe {

// Keys of `model:` beside family: diffusers' own names.
struct UNetSection {
  std::vector<std::int64_t> block_out_channels{32, 64};
  std::vector<std::string> down_block_types{"DownBlock2D", "AttnDownBlock2D"};
  std::int64_t layers_per_block = 2, attention_head_dim = 32, norm_num_groups = 8;
  bool add_attention = true, class_conditional = true;
  static void fields(auto& f, auto& c) {
    f("block_out_channels", c.block_out_channels,
      "channels of each level; a level has half the side of the one before");
    f("down_block_types", c.down_block_types,
      "of each level: DownBlock2D, or AttnDownBlock2D with attention; the way up mirrors it");
    f("layers_per_block", c.layers_per_block,
      "residual blocks of a level on the way down, one more on the way up", range(1, 16));
    f("attention_head_dim", c.attention_head_dim, "channels of an attention head", range(1, 4096));
    f("norm_num_groups", c.norm_num_groups, "groups of the norms; a divisor of every level's channels",
      range(1, 1024));
    f("add_attention", c.add_attention, "attention in the middle");
    f("class_conditional", c.class_conditional,
      "captions (names of folders) are classes that pictures are drawn by; false: pictures are drawn by "
      "nothing");
  }
};

// Whether the recipe's pictures are drawn by class.
bool draws_classes(const Recipe& recipe);
// The spec without tensors and classes (class_plan.h); `side` is the largest of the pictures.
PictureModel plan_unet(const Recipe& recipe, std::int64_t side, std::vector<RecipeProblem>& problems);
std::vector<Field> unet_keys();  // that a recipe's `model:` may hold for it

}  // namespace lathe
