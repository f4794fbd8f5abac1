#pragma once
// A model that draws pictures as a folder for diffusers (StableDiffusion3Pipeline, StableDiffusionPipeline,
// or DDPMPipeline for a UNet), or Stable Diffusion as one file under its original names.
#include "checkpoints/diffusion/pipeline.h"
#include "checkpoints/exporters/exporter.h"

namespace lathe {

// pipeline_files in options.dtype, README.md, reference.json, MANIFEST.json; read back before it is
// published. Error for a noise process that diffusers has no scheduler for, and for a tokenizer that
// transformers would not run as it was trained with (its files do not say that texts begin and end).
void export_diffusers(PictureModel model, const ExportOptions& options);

// stable-diffusion.safetensors of options.dtype and the tokenizer's folder beside it, in which engines that
// have CLIP's built in do not look; README.md, reference.json, MANIFEST.json. Error as single_file_tensors.
void export_single_file(PictureModel model, const std::string& title, const ExportOptions& options);

}  // namespace lathe
