#include "checkpoints/diffusion/joint_transformer.h"

#include "checkpoints/bundle/config_reader.h"
#include "checkpoints/diffusion/parameter_list.h"
#include "checkpoints/diffusion/positions.h"
#include "recipes/schema/error.h"

namespace lathe {

namespace {

constexpr std::int64_t kMost = std::int64_t{1} << 20;

void add_block(ParameterList& list, const JointTransformerSpec& spec, std::int64_t layer) {
  const std::string name = cat("transformer_blocks.", layer, ".");
  const std::int64_t channels = spec.hidden_size(), wide = 4 * channels;
  const bool last = layer + 1 == spec.num_layers;  // its text goes nowhere: no output of its own
  list.linear(name + "norm1.linear", channels, 6 * channels);
  list.linear(name + "norm1_context.linear", channels, (last ? 2 : 6) * channels);
  for (const char* part : {"to_q", "to_k", "to_v"}) list.linear(name + "attn." + part, channels, channels);
  for (const char* part : {"add_k_proj", "add_v_proj", "add_q_proj"})
    list.linear(name + "attn." + part, channels, channels);
  list.linear(name + "attn.to_out.0", channels, channels);
  if (!last) list.linear(name + "attn.to_add_out", channels, channels);
  if (spec.qk_norm) {
    for (const char* part : {"norm_q", "norm_k", "norm_added_q", "norm_added_k"})
      list.vector(name + "attn." + part, spec.head_size);
  }
  list.linear(name + "ff.net.0.proj", channels, wide);
  list.linear(name + "ff.net.2", wide, channels);
  if (last) return;
  list.linear(name + "ff_context.net.0.proj", channels, wide);
  list.linear(name + "ff_context.net.2", wide, channels);
}

}  // namespace

JointTransformerSpec read_joint_transformer(const Json& json, const std::string& where) {
  const ConfigReader config(json, where);
  const std::string kind = config.text("_class_name", "SD3Transformer2DModel");
  require(kind == "SD3Transformer2DModel", where, ": _class_name is ", kind,
          ", wanted SD3Transformer2DModel");
  config.refuse("dual_attention_layers", "blocks with two attentions (SD 3.5 medium) are not supported");
  JointTransformerSpec spec;
  spec.sample_size = config.integer("sample_size", 1, kMost, 128);
  spec.patch_size = config.integer("patch_size", 1, 1024, 2);
  spec.in_channels = config.integer("in_channels", 1, 4096, 16);
  spec.out_channels = config.integer("out_channels", 1, 4096, spec.in_channels);
  spec.num_layers = config.integer("num_layers", 1, 1024, 18);
  spec.head_size = config.integer("attention_head_dim", 1, 4096, 64);
  spec.num_heads = config.integer("num_attention_heads", 1, 4096, 18);
  spec.joint_attention_dim = config.integer("joint_attention_dim", 1, kMost, 4096);
  spec.pooled_projection_dim = config.integer("pooled_projection_dim", 1, kMost, 2048);
  spec.pos_embed_max_size = config.integer("pos_embed_max_size", 1, 4096, 96);
  const std::string norm = config.text("qk_norm", "");
  if (!norm.empty() && norm != "rms_norm") config.wrong("qk_norm", "rms_norm or null");
  spec.qk_norm = !norm.empty();
  const std::int64_t text_channels = config.integer("caption_projection_dim", 1, kMost, 1152);
  require(text_channels == spec.hidden_size(), where, ": caption_projection_dim is ", text_channels,
          ", wanted num_attention_heads * attention_head_dim = ", spec.hidden_size());
  require(spec.hidden_size() % 4 == 0, where, ": ", spec.hidden_size(),
          " channels cannot hold sines and cosines of two axes; "
          "choose a multiple of 4");
  require(spec.sample_size % spec.patch_size == 0, where, ": sample_size ", spec.sample_size,
          " is not a multiple of patch_size ", spec.patch_size);
  return spec;
}

Json joint_transformer_config(const JointTransformerSpec& spec) {
  Json json = Json::object();
  json["_class_name"] = "SD3Transformer2DModel";
  json["_diffusers_version"] = "0.31.0";
  json["sample_size"] = spec.sample_size;
  json["patch_size"] = spec.patch_size;
  json["in_channels"] = spec.in_channels;
  json["out_channels"] = spec.out_channels;
  json["num_layers"] = spec.num_layers;
  json["attention_head_dim"] = spec.head_size;
  json["num_attention_heads"] = spec.num_heads;
  json["joint_attention_dim"] = spec.joint_attention_dim;
  json["caption_projection_dim"] = spec.hidden_size();
  json["pooled_projection_dim"] = spec.pooled_projection_dim;
  json["pos_embed_max_size"] = spec.pos_embed_max_size;
  json["dual_attention_layers"] = Json::array();
  json["qk_norm"] = spec.qk_norm ? Json("rms_norm") : Json(nullptr);
  return json;
}

std::vector<ParameterInfo> joint_transformer_parameters(const JointTransformerSpec& spec) {
  ParameterList list;
  const std::int64_t channels = spec.hidden_size();
  list.all.push_back(
      {"pos_embed.proj.weight", {channels, spec.in_channels, spec.patch_size, spec.patch_size}});
  list.all.push_back({"pos_embed.proj.bias", {channels}});
  list.linear("time_text_embed.timestep_embedder.linear_1", 256, channels);
  list.linear("time_text_embed.timestep_embedder.linear_2", channels, channels);
  list.linear("time_text_embed.text_embedder.linear_1", spec.pooled_projection_dim, channels);
  list.linear("time_text_embed.text_embedder.linear_2", channels, channels);
  list.linear("context_embedder", spec.joint_attention_dim, channels);
  for (std::int64_t layer = 0; layer < spec.num_layers; ++layer) add_block(list, spec, layer);
  list.linear("norm_out.linear", channels, 2 * channels);
  list.linear("proj_out", channels, spec.patch_size * spec.patch_size * spec.out_channels);
  return list.all;
}

std::vector<float> sincos_positions(const JointTransformerSpec& spec) {
  return sincos_positions(
      PositionGrid{spec.pos_embed_max_size, spec.hidden_size(), spec.sample_size / spec.patch_size});
}

}  // namespace lathe
