#pragma once
// The adapter of a text-to-picture model alone, as a folder for the programs that load one on its base.
#include "checkpoints/diffusion/lora_spelling.h"
#include "checkpoints/exporters/exporter.h"
#include "checkpoints/exporters/picture_example.h"

namespace lathe {

inline constexpr const char* kSpelledLora = "lora.safetensors";  // kohya's and ComfyUI's

// pytorch_lora_weights.safetensors and adapter_config.json (peft), or lora.safetensors (kohya, comfyui), in
// options.dtype; README.md, MANIFEST.json. Read back before it is published. Returns the error of a weight's
// change that was found then (spelling_error): that of rounding. adapter.base is what adapter_config.json and
// the card's commands name.
double export_picture_lora(const PeftAdapter& adapter, const PictureModel& base, LoraSpelling spelling,
                           const LoraLabel& label, const ExportOptions& options);
// The card's part on use: exact commands for the programs of the spelling.
std::string picture_lora_commands(const PeftAdapter& adapter, const PictureModel& base, LoraSpelling spelling,
                                  const PictureExample& example);

// diffusers tells a kohya file of Stable Diffusion with adapters of the text encoder by their out_proj alone.
inline constexpr const char* kDiffusersWantsOutProj =
    "diffusers does not read it: of the text encoder's adapters it wants out_proj among adapter.targets; "
    "ComfyUI "
    "and others read it";

// A model's folder as others know it, without the folders above it: "first", or the Hub's "org/name".
std::string base_name(const std::string& path);

}  // namespace lathe
