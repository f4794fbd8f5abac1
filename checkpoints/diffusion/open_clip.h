#pragma once
// The text encoder of Stable Diffusion 2 under its original names, OpenCLIP's
// (https://github.com/mlfoundations/open_clip): queries, keys and values stand in one matrix, in_proj_weight.
// Torch-free.
#include <cstdint>
#include <string>
#include <vector>

#include "checkpoints/bundle/tensor.h"

namespace lathe {

inline constexpr const char* kOriginalOpenClip = "cond_stage_model.model.";

// Where a parameter of CLIPTextModel stands there. Error for one that has no name there.
struct OpenClipPlace {
  std::string name;  // without the prefix
  int third =
      -1;  // 0, 1, 2: queries, keys, values of a matrix or bias that has them below each other; -1: alone
};
OpenClipPlace open_clip_place(const std::string& name);

// transformers' tensors as the file has them, with the prefix; three become one where they are stacked.
std::vector<BundleTensor> open_clip_tensors(const std::vector<BundleTensor>& text);
// One third of the rows of a stacked tensor. Error when they are not three times something.
BundleTensor third_of(const BundleTensor& stacked, int third);

}  // namespace lathe
