#pragma once
// What a diffusion recipe takes from the base that it names (model.path), and what of it that base cannot do:
// both are known before any work.
#include "checkpoints/diffusion/pipeline.h"
#include "recipes/schema/load.h"

namespace lathe {

// Puts the base's own noise process and text encoder into `loaded.recipe`, "from the base", and adds to
// `loaded.problems` what does not go with it. A base that cannot be read is told by whoever loads it.
void check_picture_base(LoadedRecipe& loaded);

// The modules of a base that the recipe's adapter stands on, by their names in records.
std::vector<std::string> adapted_modules(const Recipe& recipe, PictureModel model);
bool adapts_convolutions(const Recipe& recipe, PictureModel model);  // one of them is

// What a run of the recipe trains: of a base all but what is frozen, or the adapter's factors, or the new
// word's vectors. The VAE never is.
std::int64_t trained_parameters(const Recipe& recipe, PictureModel model);

}  // namespace lathe
