// model.safetensors, or several shards with an index (the layout of Hugging Face's folders).
#include <cstdio>
#include <filesystem>
#include <set>

#include "checkpoints/formats/safetensors.h"
#include "data/io/json.h"
#include "data/io/plain_name.h"

namespace lathe {

namespace {

constexpr const char* kSingle = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";

std::vector<std::vector<BundleTensor>> split_shards(const std::vector<BundleTensor>& tensors,
                                                    std::uint64_t max_bytes) {
  std::vector<std::vector<BundleTensor>> shards(1);
  std::uint64_t filled = 0;
  for (const BundleTensor& tensor : tensors) {
    if (filled > 0 && filled + tensor.byte_size() > max_bytes) {
      shards.emplace_back();
      filled = 0;
    }
    shards.back().push_back(tensor);
    filled += tensor.byte_size();
  }
  return shards;
}

std::string shard_name(std::size_t index, std::size_t count) {
  char name[64];
  std::snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", index + 1, count);
  return name;
}

std::map<std::string, BundleTensor> by_name(std::vector<BundleTensor> tensors) {
  std::map<std::string, BundleTensor> map;
  for (BundleTensor& tensor : tensors) {
    std::string name = tensor.name;
    map.emplace(std::move(name), std::move(tensor));
  }
  return map;
}

std::map<std::string, std::string> read_weight_map(const std::string& path) {
  const Json index = read_json(path);
  require(index.is_object() && index.contains("weight_map") && index["weight_map"].is_object(), path,
          ": key 'weight_map' must be an object of tensor name to file name");
  std::map<std::string, std::string> map;
  for (const auto& [tensor, file] : index["weight_map"].items()) {
    require(file.is_string(), path, ": tensor '", tensor, "': its file must be named by a string");
    require(is_plain_file_name(file.get<std::string>()), path, ": tensor '", tensor, "': ", file.dump(),
            " is not a plain file name; shards lie beside their index");
    map.emplace(tensor, file.get<std::string>());
  }
  return map;
}

std::map<std::string, BundleTensor> read_indexed(const std::string& folder, const std::string& index_path) {
  const auto weight_map = read_weight_map(index_path);
  std::set<std::string> files;
  for (const auto& [tensor, file] : weight_map) files.insert(file);
  std::map<std::string, BundleTensor> all;
  for (const std::string& file : files) {
    const std::string path = folder + "/" + file;
    for (BundleTensor& tensor : read_safetensors(path).tensors) {
      const auto entry = weight_map.find(tensor.name);
      require(entry != weight_map.end(), path, ": tensor '", tensor.name, "' is not in ", index_path);
      require(entry->second == file, path, ": tensor '", tensor.name, "' belongs into ", entry->second,
              ", says ", index_path);
      all.emplace(entry->first, std::move(tensor));
    }
  }
  for (const auto& [tensor, file] : weight_map)
    require(all.contains(tensor), folder, "/", file, ": tensor '", tensor, "' is missing, ", index_path,
            " says it is there");
  return all;
}

void write_index(const std::string& path, const Json& index, FileSystem& fs) {
  const std::string text = index.dump(2) + "\n";
  const auto file = fs.create(path);
  file->write(std::as_bytes(std::span(text)));
  file->sync();
  file->close();
}

}  // namespace

std::vector<std::string> write_sharded(const std::string& folder, const std::vector<BundleTensor>& tensors,
                                       std::uint64_t max_bytes, FileSystem& fs) {
  const auto shards = split_shards(tensors, max_bytes);
  if (shards.size() == 1) {
    write_safetensors(folder + "/" + kSingle, tensors, {{"format", "pt"}}, fs);
    return {kSingle};
  }
  std::vector<std::string> names;
  Json weight_map = Json::object();
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < shards.size(); ++i) {
    names.push_back(shard_name(i, shards.size()));
    write_safetensors(folder + "/" + names.back(), shards[i], {{"format", "pt"}}, fs);
    for (const BundleTensor& tensor : shards[i]) {
      require(!weight_map.contains(tensor.name), folder, ": tensor '", tensor.name, "' is there twice");
      weight_map[tensor.name] = names.back();
      total += tensor.byte_size();
    }
  }
  write_index(folder + "/" + kIndex, {{"metadata", {{"total_size", total}}}, {"weight_map", weight_map}}, fs);
  names.push_back(kIndex);
  return names;
}

std::map<std::string, BundleTensor> read_sharded(const std::string& folder) {
  namespace files = std::filesystem;
  const std::string single = folder + "/" + kSingle, index = folder + "/" + kIndex;
  if (files::exists(single)) return by_name(read_safetensors(single).tensors);
  if (files::exists(index)) return read_indexed(folder, index);
  const bool pickled =
      files::exists(folder + "/pytorch_model.bin") || files::exists(folder + "/pytorch_model.bin.index.json");
  fail(
      folder, ": holds neither ", kSingle, " nor ", kIndex,
      pickled ? "; pytorch_model.bin is a pickle, which is never opened: save the model as safetensors" : "");
}

}  // namespace lathe
