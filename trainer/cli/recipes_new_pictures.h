#pragma once
// lathe recipes new for pictures: from scratch, or for a base.
#include "trainer/cli/recipes_new.h"

namespace lathe {

// Looks at every picture of wanted.data and at the base's configuration (wanted.model; empty: from scratch),
// then writes wanted.output, which passes `lathe check`.
ExitCode write_picture_recipe(Context& context, const NewRecipe& wanted);

}  // namespace lathe
