#include "checkpoints/diffusion/dit.h"

#include "checkpoints/bundle/config_reader.h"
#include "checkpoints/diffusion/parameter_list.h"
#include "recipes/schema/error.h"

namespace lathe {

namespace {

constexpr std::int64_t kMost = std::int64_t{1} << 20;
constexpr std::int64_t kTimeChannels = 256;

void add_block(ParameterList& list, const DiTSpec& spec, std::int64_t layer) {
  const std::string name = cat("transformer_blocks.", layer, ".");
  const std::int64_t channels = spec.hidden_size();
  list.linear(name + "norm1.emb.timestep_embedder.linear_1", kTimeChannels, channels);
  list.linear(name + "norm1.emb.timestep_embedder.linear_2", channels, channels);
  list.matrix(name + "norm1.emb.class_embedder.embedding_table", channels, spec.class_rows());
  list.linear(name + "norm1.linear", channels, 6 * channels);
  for (const char* part : {"to_q", "to_k", "to_v"}) {
    list.matrix(name + "attn1." + part, channels, channels);
    if (spec.attention_bias) list.all.push_back({name + "attn1." + part + ".bias", {channels}});
  }
  list.linear(name + "attn1.to_out.0", channels, channels);
  list.linear(name + "ff.net.0.proj", channels, 4 * channels);
  list.linear(name + "ff.net.2", 4 * channels, channels);
}

}  // namespace

void check_dit(const DiTSpec& spec, const std::string& where) {
  require(spec.hidden_size() % 4 == 0, where, ": num_attention_heads x attention_head_dim is ",
          spec.hidden_size(), "; sines and cosines of two axes want a multiple of 4");
  require(spec.sample_size % spec.patch_size == 0, where, ": sample_size ", spec.sample_size,
          " is not a multiple of patch_size ", spec.patch_size);
}

// Older folders say Transformer2DModel, whose defaults are others: where those are not a DiT's, the key must
// be there.
DiTSpec read_dit(const Json& json, const std::string& where) {
  const ConfigReader config(json, where);
  const std::string kind = config.text("_class_name", "DiTTransformer2DModel");
  const bool older = kind == "Transformer2DModel";
  require(older || kind == "DiTTransformer2DModel", where, ": _class_name is ", kind,
          ", wanted DiTTransformer2DModel or Transformer2DModel");
  const auto only = [&](const char* key, const char* known, const char* older_default) {
    if (config.text(key, older ? older_default : known) != known) config.wrong(key, known);
  };
  only("norm_type", "ada_norm_zero", "layer_norm");
  only("activation_fn", "gelu-approximate", "geglu");
  if (config.boolean("norm_elementwise_affine", older)) config.wrong("norm_elementwise_affine", "false");
  config.refuse("cross_attention_dim", "a DiT for classes reads no text");
  config.refuse("caption_channels", "a DiT for classes reads no text");
  const auto size = [&](const char* key, std::int64_t most, std::int64_t fallback) {
    return older ? config.integer(key, 1, most) : config.integer(key, 1, most, fallback);
  };
  DiTSpec spec;
  spec.num_heads = size("num_attention_heads", 4096, 16);
  spec.head_size = size("attention_head_dim", 4096, 72);
  spec.in_channels = size("in_channels", 4096, 4);
  spec.out_channels = config.integer("out_channels", 1, 4096, spec.in_channels);
  spec.num_layers = size("num_layers", 1024, 28);
  spec.sample_size = size("sample_size", 1 << 16, 32);
  spec.patch_size = size("patch_size", 1024, 2);
  if (json.contains("num_embeds_ada_norm") && json["num_embeds_ada_norm"].is_null())
    config.wrong("num_embeds_ada_norm", "the number of classes");
  spec.num_classes = size("num_embeds_ada_norm", kMost, 1000);
  spec.attention_bias = config.boolean("attention_bias", !older);
  spec.norm_eps = config.positive("norm_eps", 1e-5);
  check_dit(spec, where);
  return spec;
}

Json dit_config(const DiTSpec& spec) {
  Json json = Json::object();
  json["_class_name"] = "DiTTransformer2DModel";
  json["_diffusers_version"] = "0.31.0";
  json["num_attention_heads"] = spec.num_heads;
  json["attention_head_dim"] = spec.head_size;
  json["in_channels"] = spec.in_channels;
  json["out_channels"] = spec.out_channels;
  json["num_layers"] = spec.num_layers;
  json["dropout"] = 0.0;
  json["attention_bias"] = spec.attention_bias;
  json["sample_size"] = spec.sample_size;
  json["patch_size"] = spec.patch_size;
  json["activation_fn"] = "gelu-approximate";
  json["num_embeds_ada_norm"] = spec.num_classes;
  json["upcast_attention"] = false;
  json["norm_type"] = "ada_norm_zero";
  json["norm_elementwise_affine"] = false;
  json["norm_eps"] = spec.norm_eps;
  return json;
}

std::vector<ParameterInfo> dit_parameters(const DiTSpec& spec) {
  ParameterList list;
  const std::int64_t channels = spec.hidden_size();
  list.convolution("pos_embed.proj", spec.in_channels, channels, spec.patch_size);
  for (std::int64_t layer = 0; layer < spec.num_layers; ++layer) add_block(list, spec, layer);
  list.linear("proj_out_1", channels, 2 * channels);
  list.linear("proj_out_2", channels, spec.patch_size * spec.patch_size * spec.out_channels);
  return list.all;
}

}  // namespace lathe
