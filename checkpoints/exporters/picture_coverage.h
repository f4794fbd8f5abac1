#pragma once
// What an export target will hold of a model that draws pictures, and what the programs that load it will
// not read, from the model's plan alone: told before anything is trained. Names come from the functions that
// write them; tests/unit/checkpoints/picture_coverage.cpp compares those with tables that diffusers gives
// (scripts/make_picture_keys.py).
#include <string>
#include <vector>

#include "checkpoints/diffusion/pipeline.h"
#include "data/io/json.h"

namespace lathe {

// What a recipe trains beside the base, if it does: an adapter's modules by their names in records
// ("unet.down_blocks.0.attentions.0.proj_in"), or a new word's vectors.
struct PlannedExtra {
  std::string adapter;  // lora, rslora, dora; empty: none
  std::vector<std::string> modules;
  std::int64_t vectors = 0;
};

struct EngineCoverage {
  std::string engine;
  std::size_t read = 0;  // of TargetCoverage::all
  std::string why;       // of what it does not read, or of what it needs
};

struct TargetCoverage {
  std::string format, unit;          // "tensors", "LoRA modules", "vectors"
  std::size_t named = 0, all = 0;    // of ours: with a name in the layout
  std::vector<std::string> unnamed;  // without, and why
  std::vector<EngineCoverage> engines;
  Json to_json() const;
  std::string text() const;  // lines without a break at the end
};

// `format`: diffusers, single_file, peft, kohya, comfyui or textual_inversion.
TargetCoverage cover_target(const std::string& format, PictureModel model, const PlannedExtra& extra);

// Why programs with Stable Diffusion's own networks built in (ComfyUI, stable-diffusion.cpp) do not run this
// one: the settings that differ from those of its version. "" where none does.
std::string differs_from_published(const PictureModel& model);

}  // namespace lathe
