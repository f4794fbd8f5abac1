#include "checkpoints/diffusion/unet_2d.h"

#include <algorithm>

#include "checkpoints/diffusion/parameter_list.h"
#include "recipes/schema/error.h"

namespace lathe {

namespace {

void add_attention(ParameterList& list, const std::string& name, std::int64_t channels,
                   const UNet2DSpec& spec) {
  if (!spec.cross) return list.attention(name, channels);
  list.norm(name + ".norm", channels);
  list.projection(name + ".proj_in", channels, spec.cross->linear_projection);
  for (std::int64_t i = 0; i < spec.cross->layers; ++i)
    list.cross_block(cat(name, ".transformer_blocks.", i), channels, spec.cross->context_channels);
  list.projection(name + ".proj_out", channels, spec.cross->linear_projection);
}

// Heads of a level, or what they are counted by.
void check_heads(const UNet2DSpec& spec, std::size_t level, const std::string& where) {
  const std::int64_t channels = spec.block_out_channels[level];
  const bool attends = spec.down_attention[level] || spec.up_attention[spec.levels() - 1 - level] ||
                       (spec.middle && spec.mid_attention && level + 1 == spec.levels());
  const std::int64_t by = spec.cross ? spec.cross->heads[level] : spec.attention_head_dim;
  require(!attends || by == 0 || channels % by == 0, where, ": block_out_channels has ", channels,
          ", which is not a multiple of attention_head_dim ", by, spec.cross ? " (the number of heads)" : "");
}

}  // namespace

UNet2DSpec::UpInput UNet2DSpec::up_input(std::size_t level, std::int64_t layer) const {
  const std::int64_t before = up_channels(level == 0 ? 0 : level - 1), here = up_channels(level);
  return {layer == 0 ? before : here,
          layer == layers_per_block ? up_channels(std::min(level + 1, levels() - 1)) : here};
}

void check_unet_2d(const UNet2DSpec& spec, const std::string& where) {
  require(spec.down_attention.size() == spec.levels() && spec.up_attention.size() == spec.levels(), where,
          ": block_out_channels has ", spec.levels(), " levels, down_block_types ",
          spec.down_attention.size(), ", up_block_types ", spec.up_attention.size(),
          "; as many of each are wanted");
  require(!spec.cross || spec.cross->heads.size() == spec.levels(), where, ": attention_head_dim has ",
          spec.cross ? spec.cross->heads.size() : 0, " levels, block_out_channels ", spec.levels());
  for (std::size_t level = 0; level < spec.levels(); ++level) {
    const std::int64_t channels = spec.block_out_channels[level];
    require(channels % spec.norm_num_groups == 0, where, ": block_out_channels has ", channels,
            ", which is not a multiple of norm_num_groups ", spec.norm_num_groups);
    check_heads(spec, level, where);
  }
  require(spec.sample_size % spec.smallest_side() == 0, where, ": sample_size ", spec.sample_size,
          " cannot be halved ", spec.levels() - 1, " times; choose a multiple of ", spec.smallest_side());
}

std::vector<ParameterInfo> unet_2d_parameters(const UNet2DSpec& spec) {
  ParameterList list;
  const std::int64_t first = spec.block_out_channels.front(), time = spec.time_channels();
  list.convolution("conv_in", spec.in_channels, first, 3);
  list.linear("time_embedding.linear_1", first, time);
  list.linear("time_embedding.linear_2", time, time);
  if (spec.num_class_embeds > 0) list.matrix("class_embedding", time, spec.num_class_embeds);
  std::int64_t before = first;
  for (std::size_t level = 0; level < spec.levels(); ++level) {
    const std::string name = cat("down_blocks.", level, ".");
    const std::int64_t channels = spec.block_out_channels[level];
    for (std::int64_t i = 0; i < spec.layers_per_block; ++i) {
      list.resnet(cat(name, "resnets.", i), i == 0 ? before : channels, channels, time);
      if (spec.down_attention[level]) add_attention(list, cat(name, "attentions.", i), channels, spec);
    }
    if (level + 1 < spec.levels()) list.convolution(name + "downsamplers.0.conv", channels, channels, 3);
    before = channels;
  }
  if (spec.middle) {
    list.resnet("mid_block.resnets.0", before, before, time);
    if (spec.mid_attention) add_attention(list, "mid_block.attentions.0", before, spec);
    list.resnet("mid_block.resnets.1", before, before, time);
  }
  for (std::size_t level = 0; level < spec.levels(); ++level) {
    const std::string name = cat("up_blocks.", level, ".");
    const std::int64_t channels = spec.up_channels(level);
    for (std::int64_t i = 0; i <= spec.layers_per_block; ++i) {
      const auto [below, kept] = spec.up_input(level, i);
      list.resnet(cat(name, "resnets.", i), below + kept, channels, time);
      if (spec.up_attention[level]) add_attention(list, cat(name, "attentions.", i), channels, spec);
    }
    if (level + 1 < spec.levels()) list.convolution(name + "upsamplers.0.conv", channels, channels, 3);
  }
  list.norm("conv_norm_out", first);
  list.convolution("conv_out", first, spec.out_channels, 3);
  return list.all;
}

}  // namespace lathe
