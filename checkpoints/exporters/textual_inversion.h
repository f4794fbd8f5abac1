#pragma once
// A new word of a text-to-picture model alone, as a folder for the programs that load one on its base.
#include "checkpoints/diffusion/textual_inversion.h"
#include "checkpoints/exporters/exporter.h"
#include "checkpoints/exporters/picture_example.h"

namespace lathe {

// learned_embeds.safetensors {"<wug>": (n, C)}, diffusers' own; wug.safetensors {"emb_params": (n, C)}, whose
// name is the word in prompts of AUTOMATIC1111's web UI, ComfyUI and kohya's scripts; textual_inversion.json,
// README.md, MANIFEST.json; in options.dtype. Read back before it is published. Returns the largest error of
// a value that was found then, relative to the largest value: that of rounding.
double export_textual_inversion(const TextualInversion& learned, const ExportOptions& options);
// The second file's name.
std::string embedding_file(const std::string& token);
// The card's part on use. `loadable`: the base's pipeline has load_textual_inversion.
std::string textual_inversion_commands(const TextualInversion& learned, bool loadable,
                                       const PictureExample& example);

}  // namespace lathe
