#pragma once
// Names inside a pipeline folder, as diffusers and transformers write them.

namespace lathe {

inline constexpr const char* kPipelineClass = "StableDiffusion3Pipeline";
inline constexpr const char* kTransformerWeights = "diffusion_pytorch_model.safetensors";
inline constexpr const char* kTextWeights = "model.safetensors";
inline constexpr const char* kPositionTable = "pos_embed.pos_embed";  // a buffer that diffusers stores

}  // namespace lathe
