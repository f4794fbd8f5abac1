#include "data/images/picture_manifest.h"

#include <filesystem>
#include <map>

#include "data/io/hash.h"
#include "data/io/plain_name.h"
#include "recipes/schema/error.h"

namespace lathe {
namespace {

namespace filesystem = std::filesystem;
constexpr std::uint64_t kManifestVersion = 1;

Json set_to_json(const PictureSetRecord& set) {
  Json shards = Json::array();
  for (const PictureShardRecord& shard : set.shards)
    shards.push_back({{"file", shard.file}, {"bytes", shard.bytes}, {"sha256", shard.sha256}});
  return {{"name", set.name}, {"pictures", set.pictures}, {"shards", shards}};
}

PictureSetRecord set_from_json(const Json& json, const std::string& where) {
  PictureSetRecord set{
      json_get<std::string>(json, "name", where), json_get<std::uint64_t>(json, "pictures", where), {}};
  for (const Json& shard : json.at("shards")) {
    set.shards.push_back({json_get<std::string>(shard, "file", where),
                          json_get<std::uint64_t>(shard, "bytes", where),
                          json_get<std::string>(shard, "sha256", where)});
    require(is_plain_file_name(set.shards.back().file), where, ": not a plain file name");
  }
  require(!set.shards.empty(), where, ": a set without shards");
  return set;
}

}  // namespace

void write_picture_manifest(const std::string& folder, const PictureManifest& manifest, FileSystem& files) {
  Json sets = Json::array();
  for (const PictureSetRecord& set : manifest.sets) sets.push_back(set_to_json(set));
  const Json json = {{"version", kManifestVersion},
                     {"data_sha256", manifest.data_sha256},
                     {"sets", sets},
                     {"ledger", manifest.ledger},
                     {"notes", manifest.notes}};
  write_file_atomically(folder + "/prepared.json", json.dump(1) + "\n", files);
}

std::optional<PictureManifest> read_picture_manifest(const std::string& folder) {
  const std::string path = folder + "/prepared.json";
  try {
    const Json json = read_json(path);
    require(json_get<std::uint64_t>(json, "version", path) == kManifestVersion, path, ": another version");
    PictureManifest manifest{json_get<std::string>(json, "data_sha256", path),
                             {},
                             json.at("ledger"),
                             json_get<std::vector<std::string>>(json, "notes", path)};
    for (const Json& set : json.at("sets")) manifest.sets.push_back(set_from_json(set, path));
    require(!manifest.sets.empty(), path, ": no set");
    for (const PictureSetRecord& set : manifest.sets)
      for (const PictureShardRecord& shard : set.shards)
        if (filesystem::file_size(folder + "/" + shard.file) != shard.bytes) return std::nullopt;
    return manifest;
  } catch (const std::exception&) {  // absent or damaged: it is written again
    return std::nullopt;
  }
}

std::string picture_file_name(const std::string& set, const PictureSize& size, std::size_t part) {
  std::string safe;
  for (const char c : set) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    safe += plain || c == '-' ? c : '_';
  }
  if (safe != set) safe += "-" + sha256_hex(set).substr(0, 8);
  return cat(safe, '-', size.width, 'x', size.height, '-', part, ".h5");
}

bool is_finished_shard(const std::string& path, const PictureShardInfo& wanted) {
  if (!filesystem::exists(path)) return false;
  try {
    const PictureShard shard(path, ShardTrust::Foreign);  // HDF5 may crash on what is damaged
    shard.verify();
    return shard.info().source_sha256 == wanted.source_sha256 && shard.info().settings == wanted.settings;
  } catch (const Error&) {  // damaged: it is made again
    return false;
  }
}

std::vector<std::string> read_captions(const std::vector<std::string>& shards) {
  std::map<std::uint64_t, std::string> captions;
  for (const std::string& path : shards) {
    const PictureShard shard(path, ShardTrust::Own);
    for (std::uint64_t i = 0; i < shard.pictures(); ++i)
      captions.emplace(shard.picture(i).number, shard.picture(i).caption);
  }
  std::vector<std::string> out;
  for (auto& [number, caption] : captions) out.push_back(std::move(caption));
  return out;
}

}  // namespace lathe
