#include "data/images/picture_manifest.h"

#include <filesystem>
#include <limits>
#include <map>

#include "data/io/hash.h"
#include "recipes/schema/error.h"

namespace lathe {
namespace {

namespace filesystem = std::filesystem;
constexpr std::uint64_t kManifestVersion = 1;
constexpr std::size_t kNamesShown = 5;

bool plain_name(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos &&
         name.find('\0') == std::string::npos;
}

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
    require(plain_name(set.shards.back().file), where, ": not a plain file name");
  }
  require(!set.shards.empty(), where, ": a set without shards");
  return set;
}

std::string some(const std::vector<std::string>& names) {
  std::string text;
  for (std::size_t i = 0; i < names.size() && i < kNamesShown; ++i) text += (i ? ", " : "") + names[i];
  return names.size() > kNamesShown ? cat(text, " and ", names.size() - kNamesShown, " more") : text;
}

struct Counts {
  std::uint64_t files = 0, kept = 0, held_out = 0, duplicates = 0, damaged = 0, without_caption = 0;
  void add(PictureFate fate, bool silent) {
    ++files;
    kept += fate == PictureFate::Keep ? 1 : 0;
    held_out += fate == PictureFate::HeldOut ? 1 : 0;
    duplicates += fate == PictureFate::Duplicate ? 1 : 0;
    damaged += fate == PictureFate::Damaged ? 1 : 0;
    without_caption += silent ? 1 : 0;
  }
  Json to_json() const {
    return {{"files", files},           {"kept", kept},       {"held_out", held_out},
            {"duplicates", duplicates}, {"damaged", damaged}, {"without_caption", without_caption}};
  }
};

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

PictureSize picture_size(const DataSection& data) {
  require(!data.resolution.empty() && data.resolution.size() <= 2,
          "data.resolution wants one number, or [width, height]");
  return {data.resolution.front(), data.resolution.back(), data.channels};
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
    const PictureShard shard(path, ShardTrust::Own);
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

Json picture_ledger(const std::string& name, const PictureList& list, const std::vector<PictureFate>& fates) {
  Counts all;
  std::map<std::uint32_t, Counts> sources;
  for (std::size_t i = 0; i < fates.size(); ++i) {
    const bool silent = list.pictures[i].caption.empty();
    all.add(fates[i], silent);
    sources[list.pictures[i].source].add(fates[i], silent);
  }
  Json json = {{"set", name}};
  json.update(all.to_json());
  json["sources"] = Json::array();
  for (const auto& [source, counts] : sources) json["sources"].push_back(counts.to_json());
  return json;
}

void picture_notes(const PictureList& list, const std::vector<PictureFacts>& facts,
                   const std::vector<PictureFate>& fates, const PictureSize& size,
                   std::vector<std::string>& notes) {
  notes.insert(notes.end(), list.notes.begin(), list.notes.end());
  std::vector<std::string> damaged, doubled, tiny;
  for (std::size_t i = 0; i < fates.size(); ++i) {
    const std::string& name = list.pictures[i].name;
    if (fates[i] == PictureFate::Damaged)
      damaged.push_back(facts[i].damage);
    else if (fates[i] == PictureFate::Duplicate)
      doubled.push_back(name);
    else if (facts[i].width < size.width || facts[i].height < size.height)
      tiny.push_back(cat(name, " (", facts[i].width, " x ", facts[i].height, ")"));
  }
  if (!damaged.empty())
    notes.push_back(cat(damaged.size(), " file(s) cannot be read and are left out: ", some(damaged)));
  if (!doubled.empty())
    notes.push_back(
        cat(doubled.size(), " exact duplicate(s) with the same caption are left out: ", some(doubled)));
  if (!tiny.empty())
    notes.push_back(cat(tiny.size(), " picture(s) are smaller than ", size.width, " x ", size.height,
                        " and are enlarged, which blurs: ", some(tiny)));
}

}  // namespace lathe
