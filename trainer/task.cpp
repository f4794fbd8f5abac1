#include "trainer/task.h"

#include "recipes/schema/recipe.h"
#include "trainer/pictures/picture_task.h"
#include "trainer/text/text_task.h"

namespace lathe {

std::unique_ptr<Task> make_task(const Recipe& recipe) {
  if (recipe.task == "diffusion") return std::make_unique<PictureTask>();
  return std::make_unique<TextTask>();
}

}  // namespace lathe
