#include "checkpoints/diffusion/autoencoder_kl.h"

#include "checkpoints/bundle/config_reader.h"
#include "checkpoints/diffusion/level_list.h"
#include "checkpoints/diffusion/parameter_list.h"
#include "recipes/schema/error.h"

namespace lathe {

namespace {

constexpr std::int64_t kMost = std::int64_t{1} << 16;

void check_blocks(const ConfigReader& config, const char* key, const char* known, std::size_t levels) {
  const Json& blocks = level_list(config, key);
  for (const Json& block : blocks)
    if (block != known) config.wrong(key, std::string(known) + " a level");
  const std::size_t found = blocks.empty() ? 1 : blocks.size();  // diffusers' default: one
  if (found != levels) config.wrong(key, cat("as many as block_out_channels, ", levels));
}

Json repeated(const char* name, std::size_t count) {
  Json list = Json::array();
  for (std::size_t i = 0; i < count; ++i) list.push_back(name);
  return list;
}

void add_middle(ParameterList& list, const std::string& name, std::int64_t channels, bool attention) {
  list.resnet(name + ".resnets.0", channels, channels, 0);
  if (attention) list.attention(name + ".attentions.0", channels);
  list.resnet(name + ".resnets.1", channels, channels, 0);
}

void add_encoder(ParameterList& list, const AutoencoderSpec& spec) {
  std::int64_t before = spec.block_out_channels.front();
  list.convolution("encoder.conv_in", spec.in_channels, before, 3);
  for (std::size_t level = 0; level < spec.levels(); ++level) {
    const std::string name = cat("encoder.down_blocks.", level, ".");
    const std::int64_t channels = spec.block_out_channels[level];
    for (std::int64_t i = 0; i < spec.layers_per_block; ++i)
      list.resnet(cat(name, "resnets.", i), i == 0 ? before : channels, channels, 0);
    if (level + 1 < spec.levels()) list.convolution(name + "downsamplers.0.conv", channels, channels, 3);
    before = channels;
  }
  add_middle(list, "encoder.mid_block", before, spec.mid_attention);
  list.norm("encoder.conv_norm_out", before);
  list.convolution("encoder.conv_out", before, 2 * spec.latent_channels, 3);
}

void add_decoder(ParameterList& list, const AutoencoderSpec& spec) {
  std::int64_t before = spec.block_out_channels.back();
  list.convolution("decoder.conv_in", spec.latent_channels, before, 3);
  add_middle(list, "decoder.mid_block", before, spec.mid_attention);
  for (std::size_t level = 0; level < spec.levels(); ++level) {
    const std::string name = cat("decoder.up_blocks.", level, ".");
    const std::int64_t channels = spec.up_channels(level);
    for (std::int64_t i = 0; i <= spec.layers_per_block; ++i)
      list.resnet(cat(name, "resnets.", i), i == 0 ? before : channels, channels, 0);
    if (level + 1 < spec.levels()) list.convolution(name + "upsamplers.0.conv", channels, channels, 3);
    before = channels;
  }
  list.norm("decoder.conv_norm_out", before);
  list.convolution("decoder.conv_out", before, spec.out_channels, 3);
}

}  // namespace

AutoencoderSpec read_autoencoder(const Json& json, const std::string& where) {
  const ConfigReader config(json, where);
  const std::string kind = config.text("_class_name", "AutoencoderKL");
  require(kind == "AutoencoderKL", where, ": _class_name is ", kind, ", wanted AutoencoderKL");
  if (config.text("act_fn", "silu") != "silu") config.wrong("act_fn", "silu");
  for (const char* key : {"latents_mean", "latents_std"})
    config.refuse(key, "means and deviations of every latent channel are not supported");
  AutoencoderSpec spec;
  spec.sample_size = config.integer("sample_size", 1, kMost, 32);
  spec.in_channels = config.integer("in_channels", 1, kMost, 3);
  spec.out_channels = config.integer("out_channels", 1, kMost, 3);
  spec.latent_channels = config.integer("latent_channels", 1, kMost, 4);
  spec.block_out_channels = level_channels(config, "block_out_channels", {64});
  check_blocks(config, "down_block_types", "DownEncoderBlock2D", spec.levels());
  check_blocks(config, "up_block_types", "UpDecoderBlock2D", spec.levels());
  spec.layers_per_block = config.integer("layers_per_block", 1, 64, 1);
  spec.norm_num_groups = config.integer("norm_num_groups", 1, kMost, 32);
  spec.mid_attention = config.boolean("mid_block_add_attention", true);
  spec.quant_conv = config.boolean("use_quant_conv", true);
  spec.post_quant_conv = config.boolean("use_post_quant_conv", true);
  spec.scaling_factor = config.positive("scaling_factor", 0.18215);
  spec.shift_factor = config.number("shift_factor", 0.0);
  for (const std::int64_t channels : spec.block_out_channels)
    require(channels % spec.norm_num_groups == 0, where, ": block_out_channels has ", channels,
            ", which is not a multiple of norm_num_groups ", spec.norm_num_groups);
  return spec;
}

Json autoencoder_config(const AutoencoderSpec& spec) {
  Json json = Json::object();
  json["_class_name"] = "AutoencoderKL";
  json["_diffusers_version"] = "0.31.0";
  json["sample_size"] = spec.sample_size;
  json["in_channels"] = spec.in_channels;
  json["out_channels"] = spec.out_channels;
  json["latent_channels"] = spec.latent_channels;
  json["block_out_channels"] = spec.block_out_channels;
  json["down_block_types"] = repeated("DownEncoderBlock2D", spec.levels());
  json["up_block_types"] = repeated("UpDecoderBlock2D", spec.levels());
  json["layers_per_block"] = spec.layers_per_block;
  json["norm_num_groups"] = spec.norm_num_groups;
  json["act_fn"] = "silu";
  json["mid_block_add_attention"] = spec.mid_attention;
  json["use_quant_conv"] = spec.quant_conv;
  json["use_post_quant_conv"] = spec.post_quant_conv;
  json["scaling_factor"] = spec.scaling_factor;
  json["shift_factor"] = spec.shift_factor != 0 ? Json(spec.shift_factor) : Json(nullptr);
  return json;
}

void rename_old_attention(std::vector<BundleTensor>& tensors) {
  constexpr std::pair<const char*, const char*> kOld[] = {
      {"query", "to_q"}, {"key", "to_k"}, {"value", "to_v"}, {"proj_attn", "to_out.0"}};
  for (BundleTensor& tensor : tensors)
    for (const auto& [old, now] : kOld) {
      const std::string word = cat(".attentions.0.", old, ".");
      if (const auto at = tensor.name.find(word); at != std::string::npos)
        tensor.name.replace(at, word.size(), cat(".attentions.0.", now, "."));
    }
}

std::vector<ParameterInfo> autoencoder_parameters(const AutoencoderSpec& spec) {
  ParameterList list;
  add_encoder(list, spec);
  add_decoder(list, spec);
  const std::int64_t latent = spec.latent_channels;
  if (spec.quant_conv) list.convolution("quant_conv", 2 * latent, 2 * latent, 1);
  if (spec.post_quant_conv) list.convolution("post_quant_conv", latent, latent, 1);
  return list.all;
}

}  // namespace lathe
