#pragma once
// The classes of a network that draws by them: captions, which are names of folders.
#include <string>
#include <vector>

#include "checkpoints/diffusion/pipeline.h"
#include "recipes/schema/recipe.h"

namespace lathe {

// Of a model not by text. From scratch: the captions become the classes, and a row behind them stands for
// none. Usage Error when there are too many for classes. Tuning: Error for a caption that is no class of the
// base.
void fit_classes(PictureModel& model, const Recipe& recipe, const std::vector<std::string>& captions);

}  // namespace lathe
