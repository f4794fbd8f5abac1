#include "trainer/pictures/sample_grid.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>

#include <filesystem>
#include <numeric>

#include "data/images/contact_sheet.h"
#include "data/io/line_reader.h"
#include "trainer/pictures/picture_plan.h"

namespace lathe {

std::vector<std::string> sample_prompts(const Recipe& recipe, const PreparedPictures& data,
                                        const std::vector<std::string>& classes) {
  const auto count = static_cast<std::size_t>(recipe.diffusion.sampling.count);
  std::vector<std::string> prompts;
  if (!recipe.evaluate.prompts.empty()) {
    prompts = filled_lines(recipe.evaluate.prompts);
    if (prompts.size() > count) prompts.resize(count);
    return prompts;
  }
  if (!classes.empty()) {  // each in its turn
    for (std::size_t i = 0; i < count; ++i) prompts.push_back(classes[i % classes.size()]);
    return prompts;
  }
  if (!data.validation.empty()) {
    const PictureLoader held(data.validation.front(), 0, /*shuffle=*/false);
    return held.read(0, static_cast<std::int64_t>(std::min<std::uint64_t>(count, held.rows_per_epoch())))
        .captions;
  }
  for (std::size_t i = 0; i < std::min(count, data.captions.size()); ++i) prompts.push_back(data.captions[i]);
  return prompts;
}

at::Tensor draw_sample_grid(const Recipe& recipe, const PictureTask& task, const TextToPicture& model) {
  const at::NoGradGuard no_grad;
  const std::vector<std::string> prompts = sample_prompts(recipe, task.data, task.plan.classes);
  std::vector<std::uint64_t> numbers(prompts.size());
  std::iota(numbers.begin(), numbers.end(), std::uint64_t{0});
  return model.to_pictures(
      draw_pictures(model, prompts, numbers, draw_options(recipe, task.plan, task.data)));
}

std::string write_sample_grid(const std::string& run, const std::string& name, const at::Tensor& drawn) {
  std::vector<Picture> pictures;
  for (std::int64_t i = 0; i < drawn.size(0); ++i) pictures.push_back(to_picture(drawn[i]));
  const std::string file = "samples/" + name + ".png";
  std::filesystem::create_directories(run + "/samples");
  write_file_atomically(run + "/" + file, encode_png(contact_sheet(pictures, sheet_columns(drawn.size(0)))));
  return file;
}

}  // namespace lathe
