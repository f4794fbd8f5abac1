#pragma once
// lathe recipes new, of plain texts without a base: a recipe that pretrains a model from nothing.
#include "trainer/cli/recipes_new.h"

namespace lathe {

// Looks at the names and sizes of the files (and the first record of the first file of records), writes
// `output`. Usage errors: data that does not exist or is no text, records without a text.
ExitCode write_scratch_recipe(Context& context, const NewRecipe& wanted);

}  // namespace lathe
