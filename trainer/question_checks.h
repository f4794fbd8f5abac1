#pragma once
// What a recipe of tuning asks that only its examples can answer: folds and seeds want questions, metrics of
// choices want choices. One more stage of checking a recipe (checks.h), before any work.
#include "recipes/schema/load.h"

namespace lathe {

// Adds a problem, at its key, for each that the examples lack. Reads them only where something depends on
// them; examples that cannot be read are an Error, as for whoever reads them next.
void look_at_questions(LoadedRecipe& loaded);

}  // namespace lathe
