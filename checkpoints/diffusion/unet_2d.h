#pragma once
// UNet2DModel of diffusers (Ho et al., arXiv 2006.11239; Dhariwal and Nichol, arXiv 2105.05233) and its
// UNet2DConditionModel, which reads a text (Rombach et al., arXiv 2112.10752; Stable Diffusion 1 and 2), as
// plain data: config.json, parameters' names and shapes. Read leniently; a field that would change the
// mathematics and is not known is an error by name.
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "checkpoints/bundle/spec.h"
#include "data/io/json.h"

namespace lathe {

// Attentions that read a text beside the picture.
struct CrossAttentionSpec {
  std::int64_t context_channels = 1280;  // of a token: cross_attention_dim
  // Of each level. config.json calls them attention_head_dim, which diffusers keeps for the files' sake (its
  // issue 2011).
  std::vector<std::int64_t> heads;
  std::int64_t layers = 1;         // transformer_layers_per_block
  bool linear_projection = false;  // proj_in and proj_out are linear layers, not convolutions
  bool upcast = false;             // upcast_attention, kept for the file: scores are fp32 here always
};

struct UNet2DSpec {
  std::int64_t sample_size = 16;  // side of the pictures it was trained on; others of whole halvings run too
  std::int64_t in_channels = 3, out_channels = 3;
  std::vector<std::int64_t> block_out_channels{32, 64};  // a level each, half the side of the one before
  std::vector<bool> down_attention{false, true};         // AttnDownBlock2D instead of DownBlock2D
  std::vector<bool> up_attention{true, false};           // from the smallest level up
  bool middle = true, mid_attention = true;
  std::int64_t layers_per_block = 2;
  std::int64_t attention_head_dim = 8;  // 0: one head of all channels
  std::int64_t norm_num_groups = 32;
  double norm_eps = 1e-5;
  bool flip_sin_to_cos = true;  // cosines before sines
  double freq_shift = 0;
  bool center_input_sample = false;     // 2 x - 1 first
  std::int64_t downsample_padding = 1;  // 0: one row and column behind instead
  double mid_block_scale_factor = 1;
  std::int64_t num_class_embeds = 0;        // rows of the table of classes; 0: without classes
  std::optional<CrossAttentionSpec> cross;  // UNet2DConditionModel

  std::size_t levels() const { return block_out_channels.size(); }
  std::int64_t time_channels() const { return 4 * block_out_channels.front(); }
  std::int64_t smallest_side() const {
    return std::int64_t{1} << (levels() - 1);
  }  // sides are multiples of it
  std::int64_t up_channels(std::size_t level) const { return block_out_channels[levels() - 1 - level]; }
  // Channels that resnet `layer` of an up block reads: of the picture so far and of what the way down kept.
  struct UpInput {
    std::int64_t below = 0, kept = 0;
  };
  UpInput up_input(std::size_t level, std::int64_t layer) const;
};

// Errors name `where` and the field.
UNet2DSpec read_unet_2d(const Json& config, const std::string& where);
UNet2DSpec read_unet_2d_condition(const Json& config, const std::string& where);
// config.json as diffusers writes it, of the class that the spec is of.
Json unet_2d_config(const UNet2DSpec& spec);
std::vector<ParameterInfo> unet_2d_parameters(const UNet2DSpec& spec);

// Error unless the sizes fit together; `where` leads it.
void check_unet_2d(const UNet2DSpec& spec, const std::string& where);

}  // namespace lathe
