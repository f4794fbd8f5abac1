// config.json of UNet2DModel and of UNet2DConditionModel.
#include "checkpoints/bundle/config_reader.h"
#include "checkpoints/diffusion/level_list.h"
#include "checkpoints/diffusion/unet_2d.h"
#include "recipes/schema/error.h"

namespace lathe {

namespace {

constexpr std::int64_t kMost = std::int64_t{1} << 16;
constexpr const char* kPlain = "UNet2DModel";
constexpr const char* kCondition = "UNet2DConditionModel";

// What is put before DownBlock2D and UpBlock2D where a level attends.
const char* attention_word(bool cross) { return cross ? "CrossAttn" : "Attn"; }

struct Blocks {
  std::string plain, attending;
};
Blocks block_words(const char* plain, bool cross) {
  return {plain, std::string(attention_word(cross)) + plain};
}

// Whether each level's block attends.
std::vector<bool> read_blocks(const ConfigReader& config, const char* key, const Blocks& words,
                              std::vector<bool> fallback) {
  std::vector<bool> attention;
  for (const Json& value : level_list(config, key)) {
    if (value != words.plain && value != words.attending)
      config.wrong(key, words.plain + " or " + words.attending + " a level");
    attention.push_back(value == words.attending);
  }
  return attention.empty() ? fallback : attention;
}

Json block_names(const std::vector<bool>& attention, const Blocks& words) {
  Json names = Json::array();
  for (const bool attends : attention) names.push_back(attends ? words.attending : words.plain);
  return names;
}

void only(const ConfigReader& config, const char* key, const char* known) {
  if (config.text(key, known) != known) config.wrong(key, known);
}

void check_class(const ConfigReader& config, const char* wanted) {
  const std::string kind = config.text("_class_name", wanted);
  require(kind == wanted, config.where(), ": _class_name is ", kind, ", wanted ", wanted);
}

void refuse_other_mathematics(const ConfigReader& config) {
  only(config, "time_embedding_type", "positional");
  only(config, "act_fn", "silu");
  only(config, "resnet_time_scale_shift", "default");
  only(config, "downsample_type", "conv");
  only(config, "upsample_type", "conv");
  config.refuse("class_embed_type", "only a table of classes is supported (null, with num_class_embeds)");
  if (config.has("attn_norm_num_groups") &&
      config.integer("attn_norm_num_groups", 1, kMost) != config.integer("norm_num_groups", 1, kMost, 32))
    config.wrong("attn_norm_num_groups", "norm_num_groups or null");
}

// Of Stable Diffusion XL, unCLIP, GLIGEN, IF and others.
void refuse_other_conditions(const ConfigReader& config) {
  only(config, "attention_type", "default");
  config.refuse("addition_embed_type", "sizes and pooled texts as conditions are not supported (SDXL)");
  config.refuse("num_attention_heads", "diffusers itself calls the heads attention_head_dim");
  config.refuse("reverse_transformer_layers_per_block", "one number of layers for all levels is supported");
  for (const char* key : {"num_class_embeds", "encoder_hid_dim", "encoder_hid_dim_type", "time_cond_proj_dim",
                          "projection_class_embeddings_input_dim", "class_embeddings_concat"})
    config.refuse(key, "only a text is supported as a condition");
  for (const char* key : {"only_cross_attention", "dual_cross_attention", "mid_block_only_cross_attention",
                          "cross_attention_norm"})
    config.refuse(key, "other attentions than Stable Diffusion's are not supported");
  for (const char* key : {"time_embedding_act_fn", "timestep_post_act", "resnet_skip_time_act"})
    config.refuse(key, "other embeddings of the time are not supported");
  config.refuse("resnet_out_scale_factor", "scaled blocks are not supported", 1);
  for (const char* key : {"conv_in_kernel", "conv_out_kernel"})
    if (config.integer(key, 1, kMost, 3) != 3) config.wrong(key, "3");
}

// What both classes have, by the defaults that both have.
void read_shared(const ConfigReader& config, UNet2DSpec& spec) {
  refuse_other_mathematics(config);
  spec.layers_per_block = config.integer("layers_per_block", 1, 64, 2);
  spec.norm_num_groups = config.integer("norm_num_groups", 1, kMost, 32);
  spec.norm_eps = config.positive("norm_eps", 1e-5);
  spec.flip_sin_to_cos = config.boolean("flip_sin_to_cos", true);
  spec.freq_shift = config.number("freq_shift", 0.0);
  spec.center_input_sample = config.boolean("center_input_sample", false);
  spec.downsample_padding = config.integer("downsample_padding", 0, 1, 1);
  spec.mid_block_scale_factor = config.positive("mid_block_scale_factor", 1.0);
  if (config.has("time_embedding_dim") &&
      config.integer("time_embedding_dim", 1, kMost) != spec.time_channels())
    config.wrong("time_embedding_dim",
                 cat("4 x block_out_channels[0] = ", spec.time_channels(), ", or null"));
}

std::vector<std::int64_t> read_heads(const ConfigReader& config, std::size_t levels) {
  const char* key = "attention_head_dim";
  if (config.has(key) && config.json()[key].is_array()) return level_channels(config, key, {});
  return std::vector<std::int64_t>(levels, config.integer(key, 1, kMost, 8));
}

// One number, as most files write it, where all levels have the same.
Json heads_json(const std::vector<std::int64_t>& heads) {
  for (const std::int64_t one : heads)
    if (one != heads.front()) return Json(heads);
  return Json(heads.front());
}

void write_condition(const UNet2DSpec& spec, Json& json) {
  json["mid_block_type"] = spec.middle ? Json("UNetMidBlock2DCrossAttn") : Json(nullptr);
  json["attention_head_dim"] = heads_json(spec.cross->heads);
  json["cross_attention_dim"] = spec.cross->context_channels;
  json["transformer_layers_per_block"] = spec.cross->layers;
  json["use_linear_projection"] = spec.cross->linear_projection;
  json["upcast_attention"] = spec.cross->upcast;
  json["only_cross_attention"] = false;
  json["dual_cross_attention"] = false;
}

void write_plain(const UNet2DSpec& spec, Json& json) {
  json["add_attention"] = spec.mid_attention;
  json["attention_head_dim"] = spec.attention_head_dim > 0 ? Json(spec.attention_head_dim) : Json(nullptr);
  json["downsample_type"] = "conv";
  json["upsample_type"] = "conv";
}

}  // namespace

UNet2DSpec read_unet_2d(const Json& json, const std::string& where) {
  const ConfigReader config(json, where);
  check_class(config, kPlain);
  only(config, "mid_block_type", "UNetMidBlock2D");
  if (json.contains("mid_block_type") && json["mid_block_type"].is_null())
    config.wrong("mid_block_type", "UNetMidBlock2D");  // null: no middle at all
  UNet2DSpec spec;
  spec.sample_size = config.integer("sample_size", 1, kMost);
  spec.in_channels = config.integer("in_channels", 1, kMost, 3);
  spec.out_channels = config.integer("out_channels", 1, kMost, 3);
  spec.block_out_channels = level_channels(config, "block_out_channels", {224, 448, 672, 896});
  spec.down_attention =
      read_blocks(config, "down_block_types", block_words("DownBlock2D", false), {false, true, true, true});
  spec.up_attention =
      read_blocks(config, "up_block_types", block_words("UpBlock2D", false), {true, true, true, false});
  spec.mid_attention = config.boolean("add_attention", true);
  // diffusers' default for an absent key is 8, a null is one head.
  if (json.contains("attention_head_dim") && json["attention_head_dim"].is_null())
    spec.attention_head_dim = 0;
  else
    spec.attention_head_dim = config.integer("attention_head_dim", 1, kMost, 8);
  if (config.has("num_class_embeds")) spec.num_class_embeds = config.integer("num_class_embeds", 1, kMost);
  read_shared(config, spec);
  check_unet_2d(spec, where);
  return spec;
}

UNet2DSpec read_unet_2d_condition(const Json& json, const std::string& where) {
  const ConfigReader config(json, where);
  check_class(config, kCondition);
  refuse_other_conditions(config);
  UNet2DSpec spec;
  spec.block_out_channels = level_channels(config, "block_out_channels", {320, 640, 1280, 1280});
  spec.sample_size = config.integer("sample_size", 1, kMost, 64);
  spec.in_channels = config.integer("in_channels", 1, kMost, 4);
  spec.out_channels = config.integer("out_channels", 1, kMost, 4);
  spec.down_attention =
      read_blocks(config, "down_block_types", block_words("DownBlock2D", true), {true, true, true, false});
  spec.up_attention =
      read_blocks(config, "up_block_types", block_words("UpBlock2D", true), {false, true, true, true});
  spec.middle = !json.contains("mid_block_type") || !json["mid_block_type"].is_null();
  only(config, "mid_block_type", "UNetMidBlock2DCrossAttn");
  CrossAttentionSpec cross;
  cross.context_channels = config.integer("cross_attention_dim", 1, kMost, 1280);
  cross.heads = read_heads(config, spec.levels());
  cross.layers = config.integer("transformer_layers_per_block", 1, 64, 1);
  cross.linear_projection = config.boolean("use_linear_projection", false);
  cross.upcast = config.boolean("upcast_attention", false);
  spec.cross = cross;
  read_shared(config, spec);
  check_unet_2d(spec, where);
  return spec;
}

Json unet_2d_config(const UNet2DSpec& spec) {
  const bool cross = spec.cross.has_value();
  Json json = Json::object();
  json["_class_name"] = cross ? kCondition : kPlain;
  json["_diffusers_version"] = "0.31.0";
  json["sample_size"] = spec.sample_size;
  json["in_channels"] = spec.in_channels;
  json["out_channels"] = spec.out_channels;
  json["block_out_channels"] = spec.block_out_channels;
  json["down_block_types"] = block_names(spec.down_attention, block_words("DownBlock2D", cross));
  json["up_block_types"] = block_names(spec.up_attention, block_words("UpBlock2D", cross));
  json["layers_per_block"] = spec.layers_per_block;
  json["norm_num_groups"] = spec.norm_num_groups;
  json["norm_eps"] = spec.norm_eps;
  json["act_fn"] = "silu";
  json["time_embedding_type"] = "positional";
  json["flip_sin_to_cos"] = spec.flip_sin_to_cos;
  json["freq_shift"] = spec.freq_shift;
  json["center_input_sample"] = spec.center_input_sample;
  json["downsample_padding"] = spec.downsample_padding;
  json["mid_block_scale_factor"] = spec.mid_block_scale_factor;
  json["resnet_time_scale_shift"] = "default";
  json["dropout"] = 0.0;
  json["class_embed_type"] = nullptr;
  json["num_class_embeds"] = spec.num_class_embeds > 0 ? Json(spec.num_class_embeds) : Json(nullptr);
  if (cross)
    write_condition(spec, json);
  else
    write_plain(spec, json);
  return json;
}

}  // namespace lathe
