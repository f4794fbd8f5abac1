#pragma once
// A model that draws pictures as a folder for diffusers: StableDiffusion3Pipeline, or DDPMPipeline for a UNet.
#include "checkpoints/diffusion/pipeline.h"
#include "checkpoints/exporters/exporter.h"

namespace lathe {

// pipeline_files in options.dtype, README.md, reference.json, MANIFEST.json; read back before it is
// published. Error for a noise process that diffusers has no scheduler for, and for a tokenizer that
// transformers would not run as it was trained with (its files do not say that texts begin and end).
void export_diffusers(PictureModel model, const ExportOptions& options);

}  // namespace lathe
