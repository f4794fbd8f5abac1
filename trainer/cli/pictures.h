#pragma once
// What check, plan and prepare say of a diffusion recipe.
#include "recipes/schema/load.h"
#include "trainer/cli/command.h"
#include "trainer/cli/plan_memory.h"

namespace lathe {

void check_pictures(Context& context, const Recipe& recipe);
ExitCode plan_pictures(Context& context, const Recipe& recipe, const PlanArguments& arguments);
ExitCode prepare_pictures_command(Context& context, const Recipe& recipe);

}  // namespace lathe
