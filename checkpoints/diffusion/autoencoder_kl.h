#pragma once
// AutoencoderKL of diffusers (Rombach et al., arXiv 2112.10752), the VAE of Stable Diffusion, as plain data:
// its config.json, its parameters' names and shapes. Read leniently; a field that would change the
// mathematics and is not known is an error by name.
#include <cstdint>
#include <string>
#include <vector>

#include "checkpoints/bundle/spec.h"
#include "checkpoints/bundle/tensor.h"
#include "data/io/json.h"

namespace lathe {

struct AutoencoderSpec {
  std::int64_t sample_size = 512;
  std::int64_t in_channels = 3, out_channels = 3, latent_channels = 4;
  std::vector<std::int64_t> block_out_channels{128, 256, 512,
                                               512};  // a level each, half the side of the one before
  std::int64_t layers_per_block = 2;
  std::int64_t norm_num_groups = 32;
  bool mid_attention = true;
  bool quant_conv = true, post_quant_conv = true;     // 1 x 1 convolutions of the moments and of latents
  double scaling_factor = 0.18215, shift_factor = 0;  // networks see (latent - shift) * scaling

  std::size_t levels() const { return block_out_channels.size(); }
  std::int64_t halvings() const {
    return std::int64_t{1} << (levels() - 1);
  }  // pixels a side of a latent's place
  std::int64_t up_channels(std::size_t level) const { return block_out_channels[levels() - 1 - level]; }
};

// Errors name `where` and the field.
AutoencoderSpec read_autoencoder(const Json& config, const std::string& where);
// config.json as diffusers writes it.
Json autoencoder_config(const AutoencoderSpec& spec);
std::vector<ParameterInfo> autoencoder_parameters(const AutoencoderSpec& spec);
// Files saved before diffusers 0.18 call to_q, to_k, to_v and to_out.0 of the middle's attention query, key,
// value and proj_attn.
void rename_old_attention(std::vector<BundleTensor>& tensors);

}  // namespace lathe
