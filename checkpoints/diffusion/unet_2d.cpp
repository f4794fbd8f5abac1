#include "checkpoints/diffusion/unet_2d.h"

#include <algorithm>

#include "checkpoints/bundle/config_reader.h"
#include "checkpoints/diffusion/parameter_list.h"
#include "recipes/schema/error.h"

namespace lathe {

namespace {

constexpr std::int64_t kMost = std::int64_t{1} << 16;
constexpr std::size_t kMostLevels = 12;

const Json& list_of(const ConfigReader& config, const char* key) {
  static const Json none = Json::array();
  if (!config.has(key)) return none;
  const Json& list = config.json()[key];
  if (!list.is_array() || list.empty() || list.size() > kMostLevels)
    config.wrong(key, cat("a list of 1 to ", kMostLevels, " levels"));
  return list;
}

std::vector<std::int64_t> read_channels(const ConfigReader& config) {
  std::vector<std::int64_t> channels;
  for (const Json& value : list_of(config, "block_out_channels")) {
    if (!value.is_number_integer() || value.get<double>() < 1 || value.get<double>() > kMost)
      config.wrong("block_out_channels", cat("whole numbers of 1 to ", kMost));
    channels.push_back(value.get<std::int64_t>());
  }
  return channels.empty() ? std::vector<std::int64_t>{224, 448, 672, 896} : channels;
}

// Whether each level's block attends: diffusers' names, with and without Attn.
std::vector<bool> read_blocks(const ConfigReader& config, const char* key, const std::string& plain,
                              std::vector<bool> fallback) {
  std::vector<bool> attention;
  for (const Json& value : list_of(config, key)) {
    if (value != plain && value != "Attn" + plain) config.wrong(key, plain + " or Attn" + plain + " a level");
    attention.push_back(value != plain);
  }
  return attention.empty() ? fallback : attention;
}

Json block_names(const std::vector<bool>& attention, const std::string& plain) {
  Json names = Json::array();
  for (const bool attends : attention) names.push_back(attends ? "Attn" + plain : plain);
  return names;
}

void refuse_other_mathematics(const ConfigReader& config) {
  const auto only = [&](const char* key, const char* known) {
    if (config.text(key, known) != known) config.wrong(key, known);
  };
  only("time_embedding_type", "positional");
  only("act_fn", "silu");
  only("resnet_time_scale_shift", "default");
  only("downsample_type", "conv");
  only("upsample_type", "conv");
  only("mid_block_type", "UNetMidBlock2D");
  if (config.json().contains("mid_block_type") && config.json()["mid_block_type"].is_null())
    config.wrong("mid_block_type", "UNetMidBlock2D");  // null: no middle at all
  config.refuse("class_embed_type", "only a table of classes is supported (null, with num_class_embeds)");
  if (config.has("attn_norm_num_groups") &&
      config.integer("attn_norm_num_groups", 1, kMost) != config.integer("norm_num_groups", 1, kMost, 32))
    config.wrong("attn_norm_num_groups", "norm_num_groups or null");
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
  for (std::size_t level = 0; level < spec.levels(); ++level) {
    const std::int64_t channels = spec.block_out_channels[level];
    require(channels % spec.norm_num_groups == 0, where, ": block_out_channels has ", channels,
            ", which is not a multiple of norm_num_groups ", spec.norm_num_groups);
    const bool attends = spec.down_attention[level] || spec.up_attention[spec.levels() - 1 - level] ||
                         (spec.mid_attention && level + 1 == spec.levels());
    require(!attends || spec.attention_head_dim == 0 || channels % spec.attention_head_dim == 0, where,
            ": block_out_channels has ", channels, ", which is not a multiple of attention_head_dim ",
            spec.attention_head_dim);
  }
  require(spec.sample_size % spec.smallest_side() == 0, where, ": sample_size ", spec.sample_size,
          " cannot be halved ", spec.levels() - 1, " times; choose a multiple of ", spec.smallest_side());
}

UNet2DSpec read_unet_2d(const Json& json, const std::string& where) {
  const ConfigReader config(json, where);
  const std::string kind = config.text("_class_name", "UNet2DModel");
  require(kind == "UNet2DModel", where, ": _class_name is ", kind, ", wanted UNet2DModel");
  refuse_other_mathematics(config);
  UNet2DSpec spec;
  spec.sample_size = config.integer("sample_size", 1, kMost);
  spec.in_channels = config.integer("in_channels", 1, kMost, 3);
  spec.out_channels = config.integer("out_channels", 1, kMost, 3);
  spec.block_out_channels = read_channels(config);
  spec.down_attention = read_blocks(config, "down_block_types", "DownBlock2D", {false, true, true, true});
  spec.up_attention = read_blocks(config, "up_block_types", "UpBlock2D", {true, true, true, false});
  spec.mid_attention = config.boolean("add_attention", true);
  spec.layers_per_block = config.integer("layers_per_block", 1, 64, 2);
  // diffusers' default for an absent key is 8, a null is one head.
  if (json.contains("attention_head_dim") && json["attention_head_dim"].is_null())
    spec.attention_head_dim = 0;
  else
    spec.attention_head_dim = config.integer("attention_head_dim", 1, kMost, 8);
  spec.norm_num_groups = config.integer("norm_num_groups", 1, kMost, 32);
  spec.norm_eps = config.positive("norm_eps", 1e-5);
  spec.flip_sin_to_cos = config.boolean("flip_sin_to_cos", true);
  spec.freq_shift = config.number("freq_shift", 0.0);
  spec.center_input_sample = config.boolean("center_input_sample", false);
  spec.downsample_padding = config.integer("downsample_padding", 0, 1, 1);
  spec.mid_block_scale_factor = config.positive("mid_block_scale_factor", 1.0);
  if (config.has("num_class_embeds")) spec.num_class_embeds = config.integer("num_class_embeds", 1, kMost);
  if (config.has("time_embedding_dim") &&
      config.integer("time_embedding_dim", 1, kMost) != spec.time_channels())
    config.wrong("time_embedding_dim",
                 cat("4 x block_out_channels[0] = ", spec.time_channels(), ", or null"));
  check_unet_2d(spec, where);
  return spec;
}

Json unet_2d_config(const UNet2DSpec& spec) {
  Json json = Json::object();
  json["_class_name"] = "UNet2DModel";
  json["_diffusers_version"] = "0.31.0";
  json["sample_size"] = spec.sample_size;
  json["in_channels"] = spec.in_channels;
  json["out_channels"] = spec.out_channels;
  json["block_out_channels"] = spec.block_out_channels;
  json["down_block_types"] = block_names(spec.down_attention, "DownBlock2D");
  json["up_block_types"] = block_names(spec.up_attention, "UpBlock2D");
  json["add_attention"] = spec.mid_attention;
  json["layers_per_block"] = spec.layers_per_block;
  json["attention_head_dim"] = spec.attention_head_dim > 0 ? Json(spec.attention_head_dim) : Json(nullptr);
  json["norm_num_groups"] = spec.norm_num_groups;
  json["norm_eps"] = spec.norm_eps;
  json["act_fn"] = "silu";
  json["time_embedding_type"] = "positional";
  json["flip_sin_to_cos"] = spec.flip_sin_to_cos;
  json["freq_shift"] = spec.freq_shift;
  json["center_input_sample"] = spec.center_input_sample;
  json["downsample_padding"] = spec.downsample_padding;
  json["downsample_type"] = "conv";
  json["upsample_type"] = "conv";
  json["mid_block_scale_factor"] = spec.mid_block_scale_factor;
  json["resnet_time_scale_shift"] = "default";
  json["dropout"] = 0.0;
  json["class_embed_type"] = nullptr;
  json["num_class_embeds"] = spec.num_class_embeds > 0 ? Json(spec.num_class_embeds) : Json(nullptr);
  return json;
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
      if (spec.down_attention[level]) list.attention(cat(name, "attentions.", i), channels);
    }
    if (level + 1 < spec.levels()) list.convolution(name + "downsamplers.0.conv", channels, channels, 3);
    before = channels;
  }
  list.resnet("mid_block.resnets.0", before, before, time);
  if (spec.mid_attention) list.attention("mid_block.attentions.0", before);
  list.resnet("mid_block.resnets.1", before, before, time);
  for (std::size_t level = 0; level < spec.levels(); ++level) {
    const std::string name = cat("up_blocks.", level, ".");
    const std::int64_t channels = spec.up_channels(level);
    for (std::int64_t i = 0; i <= spec.layers_per_block; ++i) {
      const auto [below, kept] = spec.up_input(level, i);
      list.resnet(cat(name, "resnets.", i), below + kept, channels, time);
      if (spec.up_attention[level]) list.attention(cat(name, "attentions.", i), channels);
    }
    if (level + 1 < spec.levels()) list.convolution(name + "upsamplers.0.conv", channels, channels, 3);
  }
  list.norm("conv_norm_out", first);
  list.convolution("conv_out", first, spec.out_channels, 3);
  return list.all;
}

}  // namespace lathe
