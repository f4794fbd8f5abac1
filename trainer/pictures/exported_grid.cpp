#include "trainer/pictures/exported_grid.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>

#include "recipes/schema/output_sections.h"
#include "trainer/pictures/picture_source.h"
#include "trainer/pictures/picture_task.h"
#include "trainer/pictures/sample_grid.h"
#include "trainer/session.h"

namespace lathe {

namespace {

constexpr double kLevels = 255.0 / 2;  // a unit of -1 .. 1
constexpr double kOneLevel = 1, kMuch = 8;

}  // namespace

bool draws_from_export(const std::string& format) { return format != "kohya" && format != "comfyui"; }

Json compare_grids(const at::Tensor& found, const at::Tensor& wanted, bool exact) {
  require(found.sizes() == wanted.sizes(), "the exported file draws pictures of another size or number");
  const at::Tensor apart = (found.clamp(-1, 1) - wanted.clamp(-1, 1)).abs() * kLevels;
  const double largest = apart.max().item<double>(), mean = apart.mean().item<double>();
  return Json{{"passed", exact ? largest <= kOneLevel : mean <= kMuch},  // a NaN is neither
              {"largest_difference", largest},
              {"mean_difference", mean},
              {"tolerance", exact ? kOneLevel : kMuch},
              {"exact", exact}};
}

Json draw_exported_grid(Session& session, PictureTask& task, const Json& target, std::int64_t step,
                        const Say& say) {
  const at::NoGradGuard no_grad;
  const auto directory = target.at("directory").get<std::string>();
  const PictureModel exported = load_picture_model(resolve_model(directory));
  const Recipe& recipe = session.recipe();
  const at::Tensor shown = draw_sample_grid(recipe, task, build_picture_model(exported, at::kFloat));
  Json told{{"file", write_sample_grid(session.run.path, "exported", shown)},
            {"from", target.at("format")},
            {"step", step},
            {"compared", false}};
  const at::Tensor wanted = task.drawn_in_memory(session, step);
  if (!wanted.defined()) return told;
  const bool bf16 = session.precision == "bf16", merged = task.adapter || task.new_word;
  const bool rounded = target.value("dtype", "auto") != "auto" && target.value("dtype", "auto") != "fp32";
  const at::Tensor found =
      bf16 ? draw_sample_grid(recipe, task, build_picture_model(exported, at::kBFloat16)) : shown;
  told["compared"] = true;
  told.update(compare_grids(found, wanted, /*exact=*/!rounded && !(bf16 && merged)));
  const std::string differs =
      cat("export '", directory,
          "', read back, draws its samples otherwise than the weights in memory did at step ", step, ": by ",
          told["largest_difference"].get<double>(), " levels of 255 at most, ",
          told["mean_difference"].get<double>(), " in the mean");
  if (told["passed"].get<bool>()) return told;
  if (told["exact"].get<bool>()) fail(differs, "; wanted at most ", kOneLevel);
  say("warning: " + differs);
  return told;
}

}  // namespace lathe
