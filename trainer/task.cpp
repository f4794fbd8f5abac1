#include "trainer/task.h"

#include "recipes/schema/recipe.h"
#include "trainer/text/text_task.h"

namespace lathe {

std::unique_ptr<Task> make_task(const Recipe&) { return std::make_unique<TextTask>(); }

}  // namespace lathe
