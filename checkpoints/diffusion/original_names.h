#pragma once
// The single file in which Stable Diffusion was published: every network's tensors under the names of the
// latent-diffusion code (Rombach et al., arXiv 2112.10752), which most engines load. Names are made from the
// shape of the networks, so any number of levels and layers has them.
#include <cstdint>
#include <string>
#include <vector>

#include "checkpoints/diffusion/autoencoder_kl.h"
#include "checkpoints/diffusion/unet_2d.h"

namespace lathe {

inline constexpr const char* kOriginalUNet = "model.diffusion_model.";
inline constexpr const char* kOriginalVae = "first_stage_model.";
inline constexpr const char* kOriginalText = "cond_stage_model.transformer.";  // then transformers' own names

// Of a parameter by diffusers' name, without the prefix. Error for one that the network does not have.
std::string original_unet_name(const std::string& name, const UNet2DSpec& spec);
std::string original_vae_name(const std::string& name, const AutoencoderSpec& spec);
// The matrices of the autoencoder's attention stand there as convolutions of one place, (out, in, 1, 1).
bool is_point_convolution(const std::string& vae_name);

}  // namespace lathe
