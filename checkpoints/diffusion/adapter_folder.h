#pragma once
// A low-rank adapter of a text-to-picture model as a folder: adapter_config.json (PEFT's settings and the
// base) and pytorch_lora_weights.safetensors, the name and keys that diffusers' load_lora_weights looks for
// (huggingface.co/docs/diffusers, "LoRA"). Torch-free; values only.
#include <string>
#include <vector>

#include "checkpoints/diffusion/pipeline.h"
#include "checkpoints/formats/peft.h"

namespace lathe {

inline constexpr const char* kPictureLora = "pytorch_lora_weights.safetensors";
// What leads a name in the file, and in the records of a run.
inline constexpr const char* kTransformerPart = "transformer.";
inline constexpr const char* kUNetPart = "unet.";
inline constexpr const char* kTextEncoderPart = "text_encoder.";

bool is_picture_adapter(const std::string& folder);

// What leads the names of the network's modules.
std::string network_part(const PictureModel& base);
// adapter.tensors: "transformer.transformer_blocks.0.attn.to_q.lora_A.weight" and so on. Of `base` only what
// it is is read.
std::vector<CheckpointFile> picture_adapter_files(const PeftAdapter& adapter, const PictureModel& base);

// Untrusted. Settings and tensors; `base` says what modules there are and how large. A tensor of none of
// them, of another shape, or a second text encoder that is not as the first is an Error.
PeftAdapter read_picture_adapter(const std::string& folder, const PictureModel& base);

}  // namespace lathe
