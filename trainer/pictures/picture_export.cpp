// Exports of a finished diffusion run, with the card that tells what it was trained on.
#include "checkpoints/exporters/picture_lora.h"
#include "trainer/export_pictures.h"
#include "trainer/export_targets.h"
#include "trainer/model_source.h"
#include "trainer/pictures/exported_grid.h"
#include "trainer/pictures/picture_task.h"
#include "trainer/pictures/sample_grid.h"
#include "trainer/session.h"

namespace lathe {

namespace {

std::string card_heading(const Session& session, const PictureTask& task, const ModelSource& source) {
  const Recipe& recipe = session.recipe();
  const bool text = task.plan.by_text();
  const char* layout = task.plan.vae    ? "Stable Diffusion's layout"
                       : task.plan.dit  ? "a DiTTransformer2DModel, DiTPipeline's layout without a VAE"
                       : task.plan.unet ? "a UNet2DModel, DDPM's layout"
                                        : "SD3's layout without a VAE";
  std::string card =
      cat("---\nlibrary_name: diffusers\npipeline_tag: ",
          text ? "text-to-image" : "unconditional-image-generation", "\n---\n# ", recipe.name,
          text ? "\n\nA text-to-picture model (" : "\n\nA model that draws pictures (", layout, ") of ",
          task.parameters(), " parameters, trained with lathe; ", shipped_description(source), ".\n\n");
  card +=
      cat("- base: ", recipe.model.path.empty() ? "none, trained from scratch" : base_name(recipe.model.path),
          " (its licence holds for this model)\n- data: ", task.data.train.pictures, " pictures of ",
          task.data.width, " x ", task.data.height, ", sha256 ", task.data.data_sha256,
          "\n- steps: ", session.state.step, ", pictures seen: ", session.state.tokens, "\n");
  if (recipe.ema.decay > 0) card += cat("- weights: moving averages, decay ", recipe.ema.decay, "\n");
  if (session.state.best_step >= 0) card += cat("- validation loss: ", session.state.best_loss, "\n");
  if (!task.plan.classes.empty()) card += cat("- classes: ", Json(task.plan.classes).dump(), "\n");
  return card + cat("\n## Limits\n\nIt draws what its ",
                    text ? "captions named, in their words; other prompts give anything" : "pictures showed",
                    ". It may repeat "
                    "pictures that it was trained on.\n\n## Use\n\n");
}

}  // namespace

Json PictureTask::export_run(Session& session, const Say& say) {
  const Recipe& recipe = session.recipe();
  const ModelSource source = resolve_model(session.run.path);
  const auto write = [&](const ExportSection& target, const ExportOptions& options) {
    say(cat("export: ", target.format, " from ", source.description));
    const bool told = recipe.report.shows() || !recipe.evaluate.prompts.empty() || !plan.by_text();
    std::vector<std::string> prompts = told ? sample_prompts(recipe, data, plan.classes)
                                            : reference_prompts(plan);  // captions are the data's
    if (prompts.size() > 4) prompts.resize(4);
    const PictureExportRequest request{.dtype = target.dtype,
                                       .prompts = prompts,
                                       .heading = card_heading(session, *this, source),
                                       .sampling = recipe.diffusion.sampling,
                                       .single_file = target.format == kSingleFileFormat};
    Json entry = (is_adapter_format(target.format)
                      ? export_adapter_of_pictures(source, target.format, request, options)
                  : target.format == kTextualInversion ? export_word_of_pictures(source, request, options)
                                                       : export_pictures(source, request, options).to_json());
    entry["dtype"] = target.dtype;
    return entry;
  };
  Json results = write_exports(session.run, recipe, write);
  for (Json& entry : results) {  // one of them is enough: each was compared with the same checkpoint
    if (entry.contains("error") || !draws_from_export(entry["format"])) continue;
    say(cat("export: drawing the samples from ", entry["format"].get<std::string>(), " as written"));
    entry["samples"] = draw_exported_grid(session, *this, entry, source.step, say);
    break;
  }
  return results;
}

}  // namespace lathe
