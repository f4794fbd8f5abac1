#pragma once
// Export of a model that draws pictures and its proof, as export.h has it for texts: reference.json holds
// prompts, their ids, the noise and the latents after ten steps that the exported tensors gave in fp32;
// verify builds everything from the exported files alone and draws again.
#include <optional>
#include <string>
#include <vector>

#include "checkpoints/diffusion/pipeline.h"
#include "checkpoints/exporters/exporter.h"
#include "checkpoints/exporters/picture_example.h"
#include "trainer/model_source.h"

namespace lathe {

struct PictureVerification {
  double max_error = 0, largest_value = 0;  // of a latent
  bool same_ids = true;
  std::optional<double>
      rounding_error;        // of weights in 16 bits: largest change of a latent against the ones before
  std::string damaged;       // a file that is not as MANIFEST.json says, if one was looked for
  double tolerance() const;  // 1e-3, relative to the largest value above 1
  bool passed() const { return damaged.empty() && same_ids && max_error <= tolerance(); }
  Json to_json() const;
};

struct PictureExportRequest {
  std::string dtype = "auto";        // bf16, fp16, fp32; auto: fp32
  std::vector<std::string> prompts;  // texts or classes of the reference; the first is the card's example
  std::string heading;               // the card up to its part on use
  SamplingSection sampling;          // kept for `sample`; the card's example is drawn so
  bool single_file = false;          // Stable Diffusion under its original names, not diffusers' folder
  PictureExample example() const { return {prompts.front(), sampling}; }
};

// Texts that a reference asks for when nobody names any: captions, some of the classes, or nothing.
std::vector<std::string> reference_prompts(const PictureModel& model);
// Writes the pipeline to options.directory with its card and reference, then reads it back and verifies it.
PictureVerification export_pictures(const ModelSource& source, const PictureExportRequest& request,
                                    ExportOptions options);
// The adapter alone, in the spelling of `format` (peft, kohya, comfyui). Returns {passed, max_error}: of the
// changes of the weights, against what was trained. Error when the source has no adapter.
Json export_adapter_of_pictures(const ModelSource& source, const std::string& format,
                                const PictureExportRequest& request, ExportOptions options);
// The new word of a textual inversion alone. Returns as the adapter's. Error when the source has none.
Json export_word_of_pictures(const ModelSource& source, const PictureExportRequest& request,
                             ExportOptions options);
PictureVerification verify_pictures(const std::string& directory);
// The card's part on use: exact commands for diffusers and lathe.
std::string picture_commands(const PictureModel& model, const PictureExample& example);
std::string single_file_commands(const PictureExample& example);

}  // namespace lathe
