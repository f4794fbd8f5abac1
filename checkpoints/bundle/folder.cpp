// Reading a Hugging Face folder, or a checkpoint that holds the same files.
#include <filesystem>

#include "checkpoints/bundle/bundle.h"
#include "checkpoints/formats/safetensors.h"

namespace lathe {

namespace {

std::shared_ptr<const Tokenizer> read_tokenizer(const std::string& folder) {
  namespace files = std::filesystem;
  if (files::exists(folder + "/tokenizer.json")) return load_tokenizer(folder);
  if (files::exists(folder + "/tokenizer.model")) return load_tokenizer(folder + "/tokenizer.model");
  return nullptr;
}

}  // namespace

Bundle read_bundle(const std::string& folder) {
  require(std::filesystem::is_directory(folder), folder,
          ": wanted a folder with config.json and model.safetensors, ",
          std::filesystem::exists(folder) ? "found a file" : "there is none");
  const std::string where = folder + "/config.json";
  Bundle bundle;
  bundle.origin = folder;
  bundle.config = read_json(where);
  bundle.family = &family_of_config(bundle.config, where);
  bundle.spec = bundle.family->describe(bundle.config, where);
  bundle.tensors = internal_tensors(*bundle.family, bundle.spec, read_sharded(folder), folder);
  const std::string generation = folder + "/generation_config.json";
  if (std::filesystem::exists(generation)) bundle.generation_config = read_json(generation);
  bundle.tokenizer = read_tokenizer(folder);
  return bundle;
}

}  // namespace lathe
