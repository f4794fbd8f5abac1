#include "data/shards/manifest.h"

#include <filesystem>

#include "data/io/plain_name.h"

namespace lathe {
namespace {

namespace filesystem = std::filesystem;
constexpr std::uint64_t kManifestVersion = 1;

Json set_to_json(const ManifestSet& set) {
  Json shards = Json::array();
  for (const ManifestShard& shard : set.shards) {
    shards.push_back(
        {{"file", shard.file}, {"bytes", shard.bytes}, {"sha256", shard.sha256}, {"source", shard.source}});
  }
  return {{"name", set.name}, {"shards", shards}, {"ledger", set.ledger.to_json()}};
}

ManifestSet set_from_json(const Json& json, const std::string& where) {
  ManifestSet set{json_get<std::string>(json, "name", where), {}, TokenLedger::from_json(json.at("ledger"))};
  for (const Json& shard : json.at("shards")) {
    set.shards.push_back(
        {json_get<std::string>(shard, "file", where), json_get<std::uint64_t>(shard, "bytes", where),
         json_get<std::string>(shard, "sha256", where), json_get<std::uint32_t>(shard, "source", where)});
    require(is_plain_file_name(set.shards.back().file), where, ": not a plain file name");
  }
  return set;
}

Manifest manifest_from_json(const Json& json, const std::string& where) {
  require(json_get<std::uint64_t>(json, "version", where) == kManifestVersion, where, ": another version");
  Manifest manifest{json_get<std::string>(json, "data_sha256", where),
                    json_get<std::string>(json, "tokenizer", where),
                    json_get<std::string>(json, "tokenizer_sha256", where),
                    {}};
  require(is_plain_file_name(manifest.tokenizer_folder), where, ": not a plain folder name");
  for (const Json& set : json.at("sets")) manifest.sets.push_back(set_from_json(set, where));
  require(!manifest.sets.empty(), where, ": no set");
  return manifest;
}

bool files_are_there(const std::string& cache, const std::string& folder, const Manifest& manifest) {
  std::error_code error;
  if (!filesystem::exists(cache + "/" + manifest.tokenizer_folder + "/tokenizer.json", error)) return false;
  for (const ManifestSet& set : manifest.sets) {
    for (const ManifestShard& shard : set.shards) {
      if (filesystem::file_size(folder + "/" + shard.file, error) != shard.bytes || error) return false;
    }
  }
  return true;
}

}  // namespace

void write_manifest(const std::string& folder, const Manifest& manifest, FileSystem& files) {
  Json sets = Json::array();
  for (const ManifestSet& set : manifest.sets) sets.push_back(set_to_json(set));
  const Json json = {{"version", kManifestVersion},
                     {"data_sha256", manifest.data_sha256},
                     {"tokenizer", manifest.tokenizer_folder},
                     {"tokenizer_sha256", manifest.tokenizer_sha256},
                     {"sets", sets}};
  write_file_atomically(folder + "/prepared.json", json.dump(1) + "\n", files);
}

std::optional<Manifest> read_manifest(const std::string& cache, const std::string& folder) {
  const std::string path = folder + "/prepared.json";
  try {
    Manifest manifest = manifest_from_json(read_json(path), path);
    if (files_are_there(cache, folder, manifest)) return manifest;
  } catch (const std::exception&) {  // absent or damaged: it is written again
  }
  return std::nullopt;
}

void write_quick_index(const std::string& path, const QuickIndex& index, FileSystem& files) {
  const Json json = {{"fingerprint", index.fingerprint}, {"folder", index.folder}};
  write_file_atomically(path, json.dump(1) + "\n", files);
}

std::optional<QuickIndex> read_quick_index(const std::string& path) {
  try {
    const Json json = read_json(path);
    QuickIndex index{json_get<std::string>(json, "fingerprint", path),
                     json_get<std::string>(json, "folder", path)};
    if (is_plain_file_name(index.folder)) return index;
  } catch (const std::exception&) {  // absent or damaged: the files are read again
  }
  return std::nullopt;
}

}  // namespace lathe
