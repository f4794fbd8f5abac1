#pragma once
// What a diffusion recipe of `family: dit` trains: a transformer of pixels, told the class of a picture.
#include <string>
#include <vector>

#include "checkpoints/diffusion/pipeline.h"
#include "recipes/schema/describe.h"
#include "recipes/schema/recipe.h"

namespace lathe {

// Keys of `model:` beside family: diffusers' own names.
struct DiTSection {
  std::int64_t num_layers = 6, num_attention_heads = 6, attention_head_dim = 32, patch_size = 2;
  static void fields(auto& f, auto& c) {
    f("num_layers", c.num_layers, "blocks", range(1, 256));
    f("num_attention_heads", c.num_attention_heads, "heads", range(1, 256));
    f("attention_head_dim", c.attention_head_dim, "channels of a head; heads x this is the width",
      range(4, 512));
    f("patch_size", c.patch_size, "pixels a side of the squares that the network sees", range(1, 64));
  }
};

// The spec without tensors; of the classes, told by the data (class_plan.h), one stands for all.
PictureModel plan_dit(const Recipe& recipe, std::int64_t side, std::vector<RecipeProblem>& problems);

std::vector<Field> dit_keys();  // that a recipe's `model:` may hold for it

}  // namespace lathe
