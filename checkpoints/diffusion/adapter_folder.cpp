#include "checkpoints/diffusion/adapter_folder.h"

#include <algorithm>
#include <filesystem>
#include <map>

#include "checkpoints/formats/safetensors.h"

namespace lathe {

namespace {

constexpr const char* kSecondEncoderPart = "text_encoder_2.";
constexpr const char* kParts[] = {".lora_A.weight", ".lora_B.weight", ".lora_magnitude_vector.weight"};
constexpr const char* kSavedMagnitude = ".lora_magnitude_vector";  // as PEFT saves it

// Matrices and kernels that an adapter may stand on, by module.
std::map<std::string, std::vector<std::int64_t>> matrices(const PictureModel& base) {
  std::map<std::string, std::vector<std::int64_t>> shapes;
  const auto add = [&](const std::vector<ParameterInfo>& infos, const std::string& prefix) {
    const std::string end = ".weight";
    for (const ParameterInfo& info : infos)
      if (info.shape.size() >= 2 && info.name.ends_with(end))
        shapes.emplace(prefix + info.name.substr(0, info.name.size() - end.size()), info.shape);
  };
  add(base.unet ? unet_2d_parameters(*base.unet) : joint_transformer_parameters(base.transformer),
      network_part(base));
  add(clip_text_parameters(base.text_encoder), kTextEncoderPart);
  return shapes;
}

void check(const BundleTensor& tensor, const PeftAdapter& adapter,
           const std::map<std::string, std::vector<std::int64_t>>& shapes, const std::string& where) {
  for (const std::string part : kParts) {
    if (!tensor.name.ends_with(part)) continue;
    const std::string module = tensor.name.substr(0, tensor.name.size() - part.size());
    const auto matrix = shapes.find(module);
    require(matrix != shapes.end(), where, ": tensor '", tensor.name, "' is of no layer of the base");
    const std::int64_t out = matrix->second[0];
    std::vector<std::int64_t> wanted = matrix->second;  // of a kernel (r, in, side, side), (out, r, 1, 1)
    if (part == kParts[0]) {
      wanted[0] = adapter.rank;
    } else if (part == kParts[1]) {
      wanted.assign(wanted.size(), 1);
      wanted[0] = out;
      wanted[1] = adapter.rank;
    } else {
      wanted = {out};
    }
    require(tensor.shape == wanted, where, ": tensor '", tensor.name, "' has shape ",
            shape_text(tensor.shape), ", the base and r = ", adapter.rank, " want ", shape_text(wanted));
    return;
  }
  fail(where, ": tensor '", tensor.name,
       "' is no factor of an adapter (lora_A, lora_B, lora_magnitude_vector)");
}

// The second encoder's are the first's, or the pipeline would not be the one that was trained.
void check_second(const std::vector<BundleTensor>& second, const std::vector<BundleTensor>& tensors,
                  const std::string& where) {
  for (const BundleTensor& tensor : second) {
    const std::string first = kTextEncoderPart + tensor.name.substr(std::string(kSecondEncoderPart).size());
    const auto same =
        std::find_if(tensors.begin(), tensors.end(), [&](const BundleTensor& t) { return t.name == first; });
    require(same != tensors.end() && same->dtype == tensor.dtype &&
                std::ranges::equal(same->bytes().bytes, tensor.bytes().bytes),
            where, ": '", tensor.name, "' is not '", first, "'; text encoders that differ are not supported");
  }
}

}  // namespace

bool is_picture_adapter(const std::string& folder) {
  return is_adapter_folder(folder) && std::filesystem::exists(folder + "/" + kPictureLora);
}

std::string network_part(const PictureModel& base) { return base.unet ? kUNetPart : kTransformerPart; }

std::vector<CheckpointFile> picture_adapter_files(const PeftAdapter& adapter, const PictureModel& base) {
  std::vector<BundleTensor> tensors;
  for (const BundleTensor& tensor : adapter.tensors) {
    tensors.push_back(tensor);
    std::string& name = tensors.back().name;
    const bool encoder = name.starts_with(kTextEncoderPart);
    // PEFT loads the network and wants it without ".weight"; transformers loads the encoders and wants it
    // with.
    if (!encoder && name.ends_with(kParts[2])) name.resize(name.size() - std::string(".weight").size());
    if (!encoder || base.unet) continue;  // SD3's pipeline has the encoder twice
    BundleTensor second = tensors.back();
    second.name = kSecondEncoderPart + name.substr(std::string(kTextEncoderPart).size());
    tensors.push_back(std::move(second));
  }
  Json config = peft_config(adapter);
  config["task_type"] = nullptr;
  return {{kPeftConfig, {}, config.dump(2) + "\n"}, {kPictureLora, std::move(tensors), ""}};
}

PeftAdapter read_picture_adapter(const std::string& folder, const PictureModel& base) {
  PeftAdapter adapter = read_peft_config(folder);
  const std::string where = folder + "/" + kPictureLora;
  const auto shapes = matrices(base);
  std::vector<BundleTensor> second;
  for (BundleTensor& tensor : read_safetensors(where).tensors) {
    if (tensor.name.ends_with(kSavedMagnitude)) tensor.name += ".weight";
    if (tensor.name.starts_with(kSecondEncoderPart)) {
      second.push_back(std::move(tensor));
      continue;
    }
    check(tensor, adapter, shapes, where);
    adapter.tensors.push_back(std::move(tensor));
  }
  require(!adapter.tensors.empty(), where, ": has no tensors");
  check_second(second, adapter.tensors, where);
  return adapter;
}

}  // namespace lathe
