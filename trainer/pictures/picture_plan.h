#pragma once
// What a diffusion recipe trains, from its sections `model` and `diffusion` or from the base that it names.
// Torch-free.
#include <cstdint>
#include <vector>

#include "checkpoints/diffusion/pipeline.h"
#include "data/images/prepare_pictures.h"
#include "models/diffusion/text_to_picture.h"
#include "models/objectives/denoising.h"
#include "recipes/schema/describe.h"
#include "recipes/schema/recipe.h"

namespace lathe {

// Keys of `model:` beside family sd3: diffusers' own names. Those of unet2d and dit: unet_plan.h, dit_plan.h.
struct PictureNetworkSection {
  std::int64_t num_layers = 6, num_attention_heads = 6, attention_head_dim = 32, patch_size = 4;
  bool qk_norm = true;
  static void fields(auto& f, auto& c) {
    f("num_layers", c.num_layers, "joint blocks", range(1, 256));
    f("num_attention_heads", c.num_attention_heads, "heads", range(1, 256));
    f("attention_head_dim", c.attention_head_dim, "channels of a head; heads x this is the width",
      range(4, 512));
    f("patch_size", c.patch_size, "pixels a side of the squares that the network sees", range(1, 64));
    f("qk_norm", c.qk_norm, "queries and keys of unit size: steadier at high learning rates");
  }
};

// Of a base, with its tensors, for a recipe that has been checked with it. Else specs without tensors and
// tokenizer, of pictures of (width, height) and a vocabulary.
PictureModel plan_picture_model(const Recipe& recipe, std::vector<RecipeProblem>& problems);
void fit_tokenizer(PictureModel& model, std::shared_ptr<const Tokenizer> tokenizer);

struct PictureParameters {
  std::int64_t transformer = 0, text_encoder = 0;
};  // UNet and DiT count as the first
PictureParameters count_parameters(const PictureModel& model);

// The objective of a recipe for a model's noise process.
DenoisingOptions denoising_options(const Recipe& recipe, const PictureModel& model);

// How a recipe's samples are drawn (its sampler, or the usual one of the model's schedule), seed of the run;
// sizes are left to the model.
DrawOptions draw_options(const Recipe& recipe, const PictureModel& model, const PreparedPictures& data);

std::vector<Field> picture_network_keys();  // that a recipe's `model:` may hold for it

}  // namespace lathe
