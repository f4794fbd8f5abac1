#pragma once
// A trained adapter of a text-to-picture model in the spellings of the programs that read one. Of SD3's
// layout:
//   Diffusers  transformer.<diffusers' module>.lora_A.weight / .lora_B.weight; the file has no slot for
//   alpha, so the scale is
//              folded into B and the header (lora_adapter_metadata) says alpha = r
//   Kohya      lora_unet_<SD3's own module with _>.lora_down.weight / .lora_up.weight / .alpha, lora_te1_ and
//   lora_te2_ ComfyUi    diffusion_model.<SD3's own module>.lora_A.weight / .lora_B.weight / .alpha,
//   text_encoders.clip_l. and clip_g.
// In SD3's own names queries, keys and values of a block are one matrix: their adapters become one of the sum
// of the ranks, block-diagonal in B, the same product. Of Stable Diffusion's UNet:
//   Diffusers  unet.<diffusers' module>, text_encoder.
//   Kohya      lora_unet_<diffusers' module with _>, lora_te_
//   ComfyUi    diffusion_model.<the original name>, text_encoders.clip_l. (clip_h. of version 2)
// Sources: huggingface.co/docs/diffusers "LoRA"; kohya-ss/sd-scripts docs; Stability's
// sd3 layout (joint_blocks). Torch-free.
#include <map>
#include <string>
#include <vector>

#include "checkpoints/diffusion/adapter_folder.h"

namespace lathe {

enum class LoraSpelling { Diffusers, Kohya, ComfyUi };
// "peft", "kohya", "comfyui", as recipes name them; usage Error for another.
LoraSpelling lora_spelling(const std::string& format);

// What the product of the factors counts: alpha / r, or alpha / sqrt(r) when rank-stabilised.
double lora_scale(const PeftAdapter& adapter);

// The adapter with its scale folded into B, alpha = r: what Diffusers' file means.
PeftAdapter folded(PeftAdapter adapter);

// What a file tells those who find it: what it is called, the points a side of its pictures ("512x512"), the
// word that its captions had. Empty: not told.
struct LoraLabel {
  std::string title, resolution, trigger;
};

struct LoraFile {
  std::vector<BundleTensor> tensors;  // F32
  std::map<std::string, std::string> metadata;
};
// `base` says which layout its names are of; its tensors are not read. Usage Error: DoRA in another spelling
// than Diffusers'.
LoraFile spell_lora(const PeftAdapter& adapter, const PictureModel& base, LoraSpelling spelling,
                    const LoraLabel& label);

// What a module of an adapter ("unet.mid_block.attentions.0.proj_in") is called in a file, without what its
// factors end in; a name for each place that it is written to. Error for one without a name.
std::vector<std::string> spelled_modules(const std::string& module, const PictureModel& base,
                                         LoraSpelling spelling);

// From a written file alone: how far the weights' changes (scale * B A) that the file says, alpha absent
// meaning scale 1, are from those of the adapter: Frobenius norm over all of them, relative. Error when a
// tensor of the adapter is not in the file, or the file has more.
double spelling_error(const std::string& path, const PeftAdapter& adapter, const PictureModel& base,
                      LoraSpelling spelling);

}  // namespace lathe
