#include "checkpoints/diffusion/clip_text.h"

#include "checkpoints/bundle/config_reader.h"
#include "recipes/schema/error.h"

namespace lathe {

namespace {

constexpr std::int64_t kMost = std::int64_t{1} << 20;

}  // namespace

ClipTextSpec read_clip_text(const Json& json, const std::string& where) {
  const ConfigReader config(json, where);
  const std::string kind = config.text("model_type", "clip_text_model");
  require(kind == "clip_text_model", where, ": model_type is ", kind, ", wanted clip_text_model");
  ClipTextSpec spec;
  spec.vocab_size = config.integer("vocab_size", 1, kMost, 49408);
  spec.hidden_size = config.integer("hidden_size", 1, kMost, 512);
  spec.intermediate_size = config.integer("intermediate_size", 1, kMost, 2048);
  spec.num_layers = config.integer("num_hidden_layers", 1, 1024, 12);
  spec.num_heads = config.integer("num_attention_heads", 1, 4096, 8);
  spec.max_positions = config.integer("max_position_embeddings", 1, kMost, 77);
  spec.eos_token_id = config.integer("eos_token_id", 0, kMost, 49407);
  spec.norm_eps = config.positive("layer_norm_eps", 1e-5);
  if (json.contains("architectures") && json["architectures"].is_array()) {
    for (const Json& name : json["architectures"])
      if (name == "CLIPTextModelWithProjection")
        spec.projection_dim = config.integer("projection_dim", 1, kMost, 512);
  }
  const std::string activation = config.text("hidden_act", "quick_gelu");
  if (activation != "quick_gelu" && activation != "gelu") config.wrong("hidden_act", "quick_gelu or gelu");
  spec.activation = activation == "gelu" ? ClipActivation::Gelu : ClipActivation::QuickGelu;
  require(spec.hidden_size % spec.num_heads == 0, where, ": hidden_size ", spec.hidden_size,
          " is not a multiple of ", spec.num_heads, " heads");
  return spec;
}

Json clip_text_config(const ClipTextSpec& spec) {
  Json json = Json::object();
  json["architectures"] =
      Json::array({spec.projection_dim > 0 ? "CLIPTextModelWithProjection" : "CLIPTextModel"});
  json["model_type"] = "clip_text_model";
  json["vocab_size"] = spec.vocab_size;
  json["hidden_size"] = spec.hidden_size;
  json["intermediate_size"] = spec.intermediate_size;
  json["num_hidden_layers"] = spec.num_layers;
  json["num_attention_heads"] = spec.num_heads;
  json["max_position_embeddings"] = spec.max_positions;
  json["projection_dim"] = spec.projection_dim > 0 ? spec.projection_dim : spec.hidden_size;
  json["eos_token_id"] = spec.eos_token_id;
  json["layer_norm_eps"] = spec.norm_eps;
  json["hidden_act"] = spec.activation == ClipActivation::Gelu ? "gelu" : "quick_gelu";
  json["attention_dropout"] = 0.0;
  json["dtype"] = "float32";
  return json;
}

std::vector<ParameterInfo> clip_text_parameters(const ClipTextSpec& spec) {
  std::vector<ParameterInfo> all;
  const auto pair = [&](const std::string& name, const std::vector<std::int64_t>& shape) {
    all.push_back({name + ".weight", shape});
    all.push_back({name + ".bias", {shape[0]}});
  };
  const std::int64_t channels = spec.hidden_size;
  all.push_back({"text_model.embeddings.token_embedding.weight", {spec.vocab_size, channels}});
  all.push_back({"text_model.embeddings.position_embedding.weight", {spec.max_positions, channels}});
  for (std::int64_t layer = 0; layer < spec.num_layers; ++layer) {
    const std::string name = cat("text_model.encoder.layers.", layer, ".");
    for (const char* part : {"k_proj", "v_proj", "q_proj", "out_proj"})
      pair(name + "self_attn." + part, {channels, channels});
    pair(name + "layer_norm1", {channels});
    pair(name + "mlp.fc1", {spec.intermediate_size, channels});
    pair(name + "mlp.fc2", {channels, spec.intermediate_size});
    pair(name + "layer_norm2", {channels});
  }
  pair("text_model.final_layer_norm", {channels});
  if (spec.projection_dim > 0) all.push_back({"text_projection.weight", {spec.projection_dim, channels}});
  return all;
}

}  // namespace lathe
