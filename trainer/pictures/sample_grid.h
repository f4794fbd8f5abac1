#pragma once
// The grid of samples beside a validation loss: always the same prompts and noise, so that a series shows
// what was learned.
#include <string>
#include <vector>

#include "trainer/pictures/picture_task.h"

namespace lathe {

// The recipe's prompts (evaluate.prompts), else the classes of a model that has some, captions of held-out
// pictures, or of training ones; as many as diffusion.sampling.count.
std::vector<std::string> sample_prompts(const Recipe& recipe, const PreparedPictures& data,
                                        const std::vector<std::string>& classes);

// Draws them with the model as it is and writes <run>/samples/step-00000100.png; gives that path from the
// run.
std::string write_sample_grid(const Session& session, const PictureTask& task);

}  // namespace lathe
