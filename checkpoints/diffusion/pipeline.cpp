// Reading a pipeline folder, and what its parts must fulfil.
#include "checkpoints/diffusion/pipeline.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <map>
#include <set>

#include "checkpoints/bundle/config_reader.h"
#include "checkpoints/diffusion/pipeline_names.h"
#include "checkpoints/diffusion/pipeline_parts.h"
#include "checkpoints/diffusion/single_file.h"
#include "checkpoints/formats/safetensors.h"

namespace lathe {

namespace {

namespace files = std::filesystem;

void check_index(const Json& index, const std::string& where) {
  const auto name = json_get<std::string>(index, "_class_name", where);
  require(name == kPipelineClass, where, ": _class_name is ", name, ", wanted ", kPipelineClass,
          ", StableDiffusionPipeline, DiTPipeline, DDPMPipeline or DDIMPipeline");
  refuse_vae(index, where);
  refuse_part(index, "text_encoder_3", "T5 is not supported", where);
  refuse_part(index, "image_encoder", "pictures as conditions are not supported", where);
  require_parts(index, {"transformer", "text_encoder", "text_encoder_2", "tokenizer", "scheduler"}, where);
}

BundleTensor take(std::vector<BundleTensor>& tensors, const std::string& name, const std::string& where) {
  const auto found =
      std::find_if(tensors.begin(), tensors.end(), [&](const BundleTensor& t) { return t.name == name; });
  require(found != tensors.end(), where, ": tensor '", name, "' is missing");
  BundleTensor tensor = std::move(*found);
  tensors.erase(found);
  return tensor;
}

// The file's table must be the one that the network computes for itself: others (cropped, interpolated) would
// be ignored without a word. Rounded tables of 16 bits pass.
void check_positions(const BundleTensor& table, const JointTransformerSpec& spec, const std::string& where) {
  const std::int64_t side = spec.pos_embed_max_size;
  require(table.shape == std::vector<std::int64_t>{1, side * side, spec.hidden_size()}, where, ": '",
          kPositionTable, "' has shape ", shape_text(table.shape), ", wanted ",
          shape_text({1, side * side, spec.hidden_size()}));
  const std::vector<float> wanted = sincos_positions(spec);
  const ByteBlock block = convert_tensor(table, DType::F32).bytes();
  require(block.bytes.size() == wanted.size() * sizeof(float), where, ": '", kPositionTable, "' is cut off");
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    float found = 0;
    std::memcpy(&found, block.bytes.data() + i * sizeof(float), sizeof found);
    require(std::fabs(found - wanted[i]) <= 4e-3F, where, ": '", kPositionTable, "' holds ", found,
            " where sample_size, patch_size and pos_embed_max_size give ", wanted[i],
            "; other tables are not supported");
  }
}

bool same_values(const BundleTensor& a, const BundleTensor& b) {
  if (a.dtype != b.dtype || a.shape != b.shape) return false;
  const ByteBlock first = a.bytes(), second = b.bytes();
  return first.bytes.size() == second.bytes.size() &&
         std::memcmp(first.bytes.data(), second.bytes.data(), first.bytes.size()) == 0;
}

void check_second_encoder(const std::string& folder, const PictureModel& model) {
  const std::string second = folder + "/text_encoder_2";
  const char* advice = " is not the one of text_encoder; two different encoders are not supported";
  const auto spec = read_part_config(folder, "text_encoder_2", read_clip_text);
  require(clip_text_config(spec) == clip_text_config(model.text_encoder), second, "/config.json", advice);
  const std::vector<BundleTensor> tensors = read_text_tensors(second, spec);
  for (std::size_t i = 0; i < tensors.size(); ++i)
    require(same_values(tensors[i], model.text_tensors[i]), second, "/", kTextWeights, ": tensor '",
            tensors[i].name, "'", advice);
}

}  // namespace

std::vector<BundleTensor> read_text_tensors(const std::string& folder, const ClipTextSpec& spec) {
  std::vector<BundleTensor> tensors = read_part(folder, kTextWeights);
  // A buffer that transformers stored up to 4.30: 0, 1, 2 ...
  std::erase_if(tensors,
                [](const BundleTensor& t) { return t.name == "text_model.embeddings.position_ids"; });
  // transformers 5 saves CLIPTextModel without what led every name before.
  for (BundleTensor& tensor : tensors)
    if (!tensor.name.starts_with("text_")) tensor.name = "text_model." + tensor.name;
  return in_order(std::move(tensors), clip_text_parameters(spec), folder + "/" + kTextWeights);
}

std::vector<BundleTensor> read_network(const std::string& folder, const std::string& part,
                                       const std::vector<ParameterInfo>& parameters) {
  const std::string at = folder + "/" + part;
  return in_order(read_part(at, kTransformerWeights), parameters, at + "/" + kTransformerWeights);
}

void read_noise(const std::string& folder, PictureModel& model) {
  const std::string where = folder + "/scheduler/scheduler_config.json";
  const NoiseProcess noise = read_scheduler_config(read_json(where), where);
  model.schedule = noise.schedule;
  model.prediction = noise.prediction;
}

void require_parts(const Json& index, std::initializer_list<const char*> parts, const std::string& where) {
  for (const char* part : parts) require(index.contains(part), where, ": key '", part, "' is missing");
}

void check_text_length(const std::string& folder, std::int64_t positions) {
  const std::string path = folder + "/tokenizer/tokenizer_config.json";
  if (!files::exists(path)) return;
  const Json config = read_json(path);
  if (!config.is_object() || !config.contains("model_max_length")) return;
  const Json& length = config["model_max_length"];
  require(length.is_number() && length.get<double>() == static_cast<double>(positions), path,
          ": model_max_length is ", length.dump(-1, ' ', false, Json::error_handler_t::replace), ", wanted ",
          positions, ", the positions of text_encoder");
}

void refuse_part(const Json& index, const std::string& part, const std::string& why,
                 const std::string& where) {
  if (!index.contains(part)) return;
  const Json& value = index[part];
  const bool none = value.is_null() || (value.is_array() && !value.empty() && value[0].is_null());
  require(none, where, ": has a '", part, "' (", value.dump(-1, ' ', false, Json::error_handler_t::replace),
          "): ", why);
}

void refuse_vae(const Json& index, const std::string& where) {
  refuse_part(index, "vae", "this pipeline is supported where it draws pictures itself, without a VAE",
              where);
}

void check_classes(const std::vector<std::string>& classes, const std::string& where) {
  require(std::set(classes.begin(), classes.end()).size() == classes.size(), where, ": names a class twice");
}

std::vector<BundleTensor> read_part(const std::string& folder, const char* name) {
  const std::string path = folder + "/" + name;
  if (files::exists(path)) return read_safetensors(path).tensors;
  const std::string stem = path.substr(0, path.rfind('.')), half = stem + ".fp16.safetensors";
  if (files::exists(half)) return read_safetensors(half).tensors;  // diffusers' variant of rounded weights
  require(
      !files::exists(stem + ".bin") && !files::exists(folder + "/pytorch_model.bin"), path,
      ": is not there; its .bin beside is a pickle, which can run code and is never read: load it with the "
      "library that wrote it and save it with safe_serialization=True");
  fail(path, ": is not there",
       files::exists(path + ".index.json") ? "; weights in several files are not supported" : "");
}

std::vector<BundleTensor> in_order(std::vector<BundleTensor> tensors,
                                   const std::vector<ParameterInfo>& parameters, const std::string& where) {
  std::map<std::string, BundleTensor> by_name;
  for (BundleTensor& tensor : tensors) {
    std::string name = tensor.name;
    by_name.emplace(std::move(name), std::move(tensor));
  }
  std::vector<BundleTensor> all;
  for (const ParameterInfo& info : parameters) {
    const auto found = by_name.find(info.name);
    require(found != by_name.end(), where, ": tensor '", info.name, "' is missing");
    all.push_back(std::move(found->second));
    by_name.erase(found);
  }
  require(by_name.empty(), where, ": tensor '", by_name.empty() ? "" : by_name.begin()->first,
          "' is none of the network's");
  return all;
}

void check_tensors(const std::vector<BundleTensor>& tensors, const std::vector<ParameterInfo>& parameters,
                   const std::string& where) {
  require(tensors.size() == parameters.size(), where, ": ", tensors.size(), " tensors, wanted ",
          parameters.size());
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const BundleTensor& tensor = tensors[i];
    require(tensor.name == parameters[i].name, where, ": tensor '", tensor.name, "', wanted '",
            parameters[i].name, "'");
    require(tensor.shape == parameters[i].shape, where, ": tensor '", tensor.name, "' has shape ",
            shape_text(tensor.shape), ", wanted ", shape_text(parameters[i].shape));
    require(tensor.dtype == DType::F32 || tensor.dtype == DType::F16 || tensor.dtype == DType::BF16, where,
            ": tensor '", tensor.name, "' is ", dtype_name(tensor.dtype), ", wanted F32, F16 or BF16");
  }
}

std::vector<PictureModel::Part> PictureModel::parts() {
  std::vector<Part> all;
  if (unet)
    all.push_back({"unet.", unet_2d_parameters(*unet), &unet_tensors});
  else
    all.push_back({"transformer.", dit ? dit_parameters(*dit) : joint_transformer_parameters(transformer),
                   &transformer_tensors});
  if (by_text()) all.push_back({"text_encoder.", clip_text_parameters(text_encoder), &text_tensors});
  if (vae) all.push_back({"vae.", autoencoder_parameters(*vae), &vae_tensors});
  return all;
}

bool is_pipeline(const std::string& folder) {
  return files::exists(folder + "/" + kModelIndex) || !single_file_at(folder).empty();
}

void check_text_parts(const PictureModel& model, const std::string& where) {
  const ClipTextSpec& text = model.text_encoder;
  require(model.tokenizer != nullptr, where, ": has no tokenizer");
  const SpecialTokens special = model.tokenizer->special();
  require(special.bos && special.eos && special.pad, where,
          "/tokenizer: names no begin, end or padding token; a text encoder's names all three");
  require(text.eos_token_id == 2 || text.eos_token_id == static_cast<std::int64_t>(*special.eos), where,
          "/text_encoder: eos_token_id is ", text.eos_token_id, ", the tokenizer's end of text ",
          *special.eos);
  const auto ids = static_cast<std::int64_t>(model.tokenizer->vocab_size());
  require(ids <= text.vocab_size, where, "/tokenizer: has ids up to ", ids - 1, ", the text encoder only ",
          text.vocab_size, " rows");
  check_tensors(model.text_tensors, clip_text_parameters(text), where + "/text_encoder");
}

void check_picture_model(const PictureModel& model, const std::string& where) {
  if (model.vae) return check_stable_diffusion(model, where);
  if (model.unet) return check_unet_model(model, where);
  if (model.dit) return check_dit_model(model, where);
  const ClipTextSpec& text = model.text_encoder;
  require(text.projection_dim > 0, where, "/text_encoder: wanted CLIPTextModelWithProjection");
  require(model.transformer.pooled_projection_dim == 2 * text.projection_dim, where,
          "/transformer: pooled_projection_dim is ", model.transformer.pooled_projection_dim,
          ", wanted twice the text encoder's projection_dim, ", 2 * text.projection_dim);
  require(model.transformer.in_channels == model.transformer.out_channels, where,
          "/transformer: out_channels is ", model.transformer.out_channels, ", wanted in_channels, ",
          model.transformer.in_channels);
  check_tensors(model.transformer_tensors, joint_transformer_parameters(model.transformer),
                where + "/transformer");
  check_text_parts(model, where);
}

PictureModel read_pipeline(const std::string& folder) {
  if (const std::string file = single_file_at(folder); !file.empty()) return read_single_file(file);
  const std::string index_at = folder + "/" + kModelIndex;
  require(files::exists(index_at), folder, ": wanted a diffusers pipeline, ", kModelIndex, " is not there");
  const Json index = read_json(index_at, {.max_bytes = std::size_t{1} << 20, .max_depth = 8});
  if (is_stable_diffusion(index)) return read_stable_diffusion(folder, index);
  if (is_unet_pipeline(index)) return read_unet_pipeline(folder, index);
  if (is_dit_pipeline(index)) return read_dit_pipeline(folder, index);
  check_index(index, index_at);
  PictureModel model;
  model.transformer = read_part_config(folder, "transformer", read_joint_transformer);
  model.text_encoder = read_part_config(folder, "text_encoder", read_clip_text);
  read_noise(folder, model);

  const std::string weights = folder + "/transformer/" + kTransformerWeights;
  std::vector<BundleTensor> tensors = read_part(folder + "/transformer", kTransformerWeights);
  check_positions(take(tensors, kPositionTable, weights), model.transformer, weights);
  model.transformer_tensors =
      in_order(std::move(tensors), joint_transformer_parameters(model.transformer), weights);
  model.text_tensors = read_text_tensors(folder + "/text_encoder", model.text_encoder);
  check_second_encoder(folder, model);
  check_text_length(folder, model.text_encoder.max_positions);
  model.tokenizer = load_tokenizer(folder + "/tokenizer");
  check_picture_model(model, folder);
  return model;
}

}  // namespace lathe
