// Writing a pipeline folder.
#include "checkpoints/diffusion/pipeline.h"
#include "checkpoints/diffusion/pipeline_names.h"
#include "checkpoints/diffusion/pipeline_parts.h"

namespace lathe {

namespace {

BundleTensor position_table(const JointTransformerSpec& spec, DType dtype) {
  const auto table = std::make_shared<const std::vector<float>>(sincos_positions(spec));
  BundleTensor tensor = memory_tensor(
      kPositionTable, DType::F32, {1, spec.pos_embed_max_size * spec.pos_embed_max_size, spec.hidden_size()},
      {std::as_bytes(std::span(*table)), table});
  return convert_tensor(std::move(tensor), dtype);
}

// The tokenizer's files, cut and padded at the encoder's positions.
std::vector<TokenizerFile> tokenizer_files(const PictureModel& model, std::string& class_name) {
  std::vector<TokenizerFile> files = model.tokenizer->files();
  class_name = "PreTrainedTokenizerFast";
  for (TokenizerFile& file : files) {
    if (file.name != "tokenizer_config.json") continue;
    Json config = parse_json(file.content, "tokenizer_config.json");
    class_name = json_get_or<std::string>(config, "tokenizer_class", class_name, file.name);
    if (json_get_or<double>(config, "model_max_length", 0, file.name) ==
        static_cast<double>(model.text_encoder.max_positions))
      continue;
    config["model_max_length"] = model.text_encoder.max_positions;
    file.content = config.dump(2) + "\n";
  }
  return files;
}

Json model_index(const PictureModel& model, const std::string& tokenizer_class) {
  const Json nothing = Json::array({nullptr, nullptr});
  const Json encoder = Json::array({"transformers", "CLIPTextModelWithProjection"});
  const Json tokenizer = Json::array({"transformers", tokenizer_class});
  Json index = Json::object();
  index["_class_name"] = kPipelineClass;
  index["_diffusers_version"] = "0.31.0";
  index["feature_extractor"] = nothing;
  index["image_encoder"] = nothing;
  index["scheduler"] = Json::array({"diffusers", scheduler_class(model.noise())});
  index["text_encoder"] = encoder;
  index["text_encoder_2"] = encoder;
  index["text_encoder_3"] = nothing;
  index["tokenizer"] = tokenizer;
  index["tokenizer_2"] = tokenizer;
  index["tokenizer_3"] = nothing;
  index["transformer"] = Json::array({"diffusers", "SD3Transformer2DModel"});
  index["vae"] = nothing;
  return index;
}

}  // namespace

CheckpointFile json_file(std::string name, const Json& json) {
  return {std::move(name), {}, json.dump(2) + "\n"};
}

std::string add_text_files(const PictureModel& model, const std::string& place,
                           std::vector<CheckpointFile>& files) {
  Json encoder = clip_text_config(model.text_encoder);
  encoder["dtype"] = torch_dtype_name(model.text_tensors.front().dtype);
  const SpecialTokens special = model.tokenizer->special();
  if (special.bos) encoder["bos_token_id"] = *special.bos;
  if (special.pad) encoder["pad_token_id"] = *special.pad;
  files.push_back(json_file("text_encoder" + place + "/config.json", encoder));
  files.push_back({"text_encoder" + place + "/" + kTextWeights, model.text_tensors, ""});
  std::string tokenizer_class;
  for (const TokenizerFile& file : tokenizer_files(model, tokenizer_class))
    files.push_back({"tokenizer" + place + "/" + file.name, {}, file.content});
  return tokenizer_class;
}

std::vector<CheckpointFile> pipeline_files(const PictureModel& model) {
  check_picture_model(model, "pipeline");
  if (model.vae) return stable_diffusion_files(model);
  if (model.unet) return unet_pipeline_files(model);
  if (model.dit) return dit_pipeline_files(model);
  std::vector<CheckpointFile> files;
  files.push_back(json_file("scheduler/scheduler_config.json", scheduler_config(model.noise())));
  files.push_back(json_file("transformer/config.json", joint_transformer_config(model.transformer)));
  std::vector<BundleTensor> network = model.transformer_tensors;
  network.push_back(position_table(model.transformer, network.front().dtype));
  files.push_back({std::string("transformer/") + kTransformerWeights, std::move(network), ""});
  std::string tokenizer_class;
  for (const char* place : {"", "_2"}) tokenizer_class = add_text_files(model, place, files);
  files.push_back(json_file(kModelIndex, model_index(model, tokenizer_class)));
  return files;
}

}  // namespace lathe
