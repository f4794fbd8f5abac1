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

// Pictures (B, C, H, W), fp32, about -1 .. 1: each prompt from noise of its own.
at::Tensor draw_sample_grid(const Recipe& recipe, const PictureTask& task, const TextToPicture& model);
// Writes them as one picture, <run>/samples/<name>.png; gives that path from the run.
std::string write_sample_grid(const std::string& run, const std::string& name, const at::Tensor& drawn);

}  // namespace lathe
