#include "checkpoints/diffusion/single_file_layout.h"

#include <algorithm>

#include "checkpoints/diffusion/open_clip.h"
#include "checkpoints/diffusion/original_names.h"
#include "recipes/schema/error.h"

namespace lathe {

namespace {

// Stable Diffusion 1's own; version 2 has heads of one size, and pictures of 768 points.
constexpr std::int64_t kHeads = 8, kGroups = 32, kSide = 64, kTextHeadSize = 64, kOldEnd = 2;
constexpr std::int64_t kHeadSize = 64, kSecondSide = 96, kOpenClipLayers = 24;
constexpr std::int64_t kMostLayers = 64, kMostLevels = 12;

struct Level {
  std::int64_t channels = 0, layers = 0;
  bool attends = false;
};

// Counts one kind of names: 0, 1, 2 ... while they are there.
template <typename Name>
std::int64_t count_names(const TensorShapes& shapes, const Name& name) {
  std::int64_t count = 0;
  while (count < kMostLayers && shapes.has(name(count))) ++count;
  return count;
}

std::vector<Level> unet_levels(const TensorShapes& shapes) {
  std::vector<Level> levels(1);
  for (std::int64_t block = 1; block < kMostLayers; ++block) {
    const std::string name = cat(kOriginalUNet, "input_blocks.", block, ".");
    if (shapes.has(name + "0.op.weight")) {
      levels.emplace_back();
      continue;
    }
    if (!shapes.has(name + "0.in_layers.0.weight")) break;
    Level& level = levels.back();
    level.channels = shapes.size(name + "0.out_layers.3.weight", 0);
    level.attends = shapes.has(name + "1.norm.weight");
    ++level.layers;
  }
  require(levels.size() <= static_cast<std::size_t>(kMostLevels), shapes.where(), ": its UNet has more than ",
          kMostLevels, " levels");
  for (const Level& level : levels)
    require(level.layers > 0 && level.layers == levels.front().layers, shapes.where(), ": the levels of ",
            kOriginalUNet, "input_blocks are not of one number of layers");
  return levels;
}

CrossAttentionSpec cross_attention(const TensorShapes& shapes, const std::string& place,
                                   const std::vector<Level>& levels) {
  CrossAttentionSpec cross;
  cross.layers = count_names(
      shapes, [&](std::int64_t i) { return cat(place, "transformer_blocks.", i, ".norm1.weight"); });
  cross.context_channels = shapes.size(place + "transformer_blocks.0.attn2.to_k.weight", 1);
  cross.linear_projection = shapes.dimensions(place + "proj_in.weight") == 2;
  for (const Level& level : levels)
    cross.heads.push_back(cross.linear_projection ? std::max<std::int64_t>(1, level.channels / kHeadSize)
                                                  : kHeads);
  return cross;
}

}  // namespace

std::int64_t TensorShapes::size(const std::string& name, std::size_t dimension) const {
  require(dimensions(name) > dimension, where_, ": tensor '", name, "' has ", dimensions(name),
          " dimensions");
  return shapes_.at(name)[dimension];
}

std::size_t TensorShapes::dimensions(const std::string& name) const {
  require(has(name), where_, ": tensor '", name, "' is missing");
  return shapes_.at(name).size();
}

bool is_second_version(const TensorShapes& shapes) {
  return shapes.has(cat(kOriginalOpenClip, "token_embedding.weight"));
}

UNet2DSpec single_file_unet(const TensorShapes& shapes) {
  const std::string root = kOriginalUNet;
  const std::vector<Level> levels = unet_levels(shapes);
  UNet2DSpec spec;
  spec.sample_size = is_second_version(shapes) ? kSecondSide : kSide;
  spec.in_channels = shapes.size(root + "input_blocks.0.0.weight", 1);
  spec.out_channels = shapes.size(root + "out.2.weight", 0);
  spec.layers_per_block = levels.front().layers;
  spec.norm_num_groups = kGroups;
  spec.block_out_channels.clear();
  spec.down_attention.clear();
  spec.up_attention.clear();
  std::string attention;  // a place that has one
  for (std::size_t i = 0; i < levels.size(); ++i) {
    spec.block_out_channels.push_back(levels[i].channels);
    spec.down_attention.push_back(levels[i].attends);
    const auto each = static_cast<std::int64_t>(i) * (spec.layers_per_block + 1);
    const std::string down = cat(root, "input_blocks.", each + 1, ".1."),
                      up = cat(root, "output_blocks.", each, ".1.");
    spec.up_attention.push_back(shapes.has(up + "norm.weight"));
    if (levels[i].attends) attention = down;
    if (spec.up_attention.back()) attention = up;
  }
  spec.middle = shapes.has(root + "middle_block.0.in_layers.0.weight");
  if (spec.middle) attention = root + "middle_block.1.";
  require(!attention.empty(), shapes.where(), ": its UNet attends nowhere; wanted one that reads texts");
  spec.cross = cross_attention(shapes, attention, levels);
  return spec;
}

AutoencoderSpec single_file_vae(const TensorShapes& shapes) {
  const std::string root = kOriginalVae;
  const auto block = [&](std::int64_t level, std::int64_t layer) {
    return cat(root, "encoder.down.", level, ".block.", layer, ".conv1.weight");
  };
  AutoencoderSpec spec;
  spec.in_channels = shapes.size(root + "encoder.conv_in.weight", 1);
  spec.out_channels = shapes.size(root + "decoder.conv_out.weight", 0);
  spec.latent_channels = shapes.size(root + "decoder.conv_in.weight", 1);
  spec.layers_per_block = count_names(shapes, [&](std::int64_t layer) { return block(0, layer); });
  spec.block_out_channels.clear();
  const std::int64_t levels = count_names(shapes, [&](std::int64_t level) { return block(level, 0); });
  require(levels > 0, shapes.where(), ": tensor '", block(0, 0), "' is missing");
  require(levels <= kMostLevels, shapes.where(), ": its VAE has more than ", kMostLevels, " levels");
  for (std::int64_t level = 0; level < levels; ++level)
    spec.block_out_channels.push_back(shapes.size(block(level, 0), 0));
  spec.norm_num_groups = kGroups;
  spec.mid_attention = shapes.has(root + "encoder.mid.attn_1.norm.weight");
  spec.quant_conv = shapes.has(root + "quant_conv.weight");
  spec.post_quant_conv = shapes.has(root + "post_quant_conv.weight");
  spec.sample_size = (is_second_version(shapes) ? kSecondSide : kSide) * spec.halvings();
  return spec;
}

// Of OpenCLIP's layers Stable Diffusion 2 reads all but the last; a file that has the projection behind them,
// or as many layers as were published, holds that one too.
ClipTextSpec second_text(const TensorShapes& shapes) {
  const std::string root = kOriginalOpenClip;
  ClipTextSpec spec;
  spec.vocab_size = shapes.size(root + "token_embedding.weight", 0);
  spec.hidden_size = shapes.size(root + "token_embedding.weight", 1);
  spec.max_positions = shapes.size(root + "positional_embedding", 0);
  spec.num_layers = count_names(
      shapes, [&](std::int64_t i) { return cat(root, "transformer.resblocks.", i, ".ln_1.weight"); });
  if (shapes.has(root + "text_projection") || spec.num_layers == kOpenClipLayers) --spec.num_layers;
  require(spec.num_layers > 0, shapes.where(), ": ", root, "transformer.resblocks has too few layers");
  spec.intermediate_size = shapes.size(root + "transformer.resblocks.0.mlp.c_fc.weight", 0);
  spec.num_heads = std::max<std::int64_t>(1, spec.hidden_size / kTextHeadSize);
  spec.eos_token_id = kOldEnd;
  spec.activation = ClipActivation::Gelu;
  return spec;
}

ClipTextSpec single_file_text(const TensorShapes& shapes) {
  if (is_second_version(shapes)) return second_text(shapes);
  const std::string root = cat(kOriginalText, "text_model.");
  ClipTextSpec spec;
  spec.vocab_size = shapes.size(root + "embeddings.token_embedding.weight", 0);
  spec.hidden_size = shapes.size(root + "embeddings.token_embedding.weight", 1);
  spec.max_positions = shapes.size(root + "embeddings.position_embedding.weight", 0);
  spec.num_layers = count_names(
      shapes, [&](std::int64_t i) { return cat(root, "encoder.layers.", i, ".layer_norm1.weight"); });
  require(spec.num_layers > 0, shapes.where(), ": tensor '", root,
          "encoder.layers.0.layer_norm1.weight' is missing");
  spec.intermediate_size = shapes.size(root + "encoder.layers.0.mlp.fc1.weight", 0);
  spec.num_heads = std::max<std::int64_t>(1, spec.hidden_size / kTextHeadSize);
  spec.eos_token_id = kOldEnd;  // the largest id; only the pooled text, which is not read, depends on it
  return spec;
}

}  // namespace lathe
