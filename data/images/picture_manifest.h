#pragma once
// prepared.json of a folder of picture shards: the record of a complete preparation, written last; and the
// facts that a preparation tells its user.
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "data/images/survey_pictures.h"
#include "data/io/file_system.h"
#include "data/io/json.h"
#include "data/shards/picture_shard.h"
#include "recipes/schema/recipe.h"

namespace lathe {

struct PictureShardRecord {
  std::string file;  // in the folder
  std::uint64_t bytes = 0;
  std::string sha256;
};

struct PictureSetRecord {
  std::string name;
  std::uint64_t pictures = 0;
  std::vector<PictureShardRecord> shards;
};

struct PictureManifest {
  std::string data_sha256;
  std::vector<PictureSetRecord> sets;  // train first
  Json ledger;
  std::vector<std::string> notes;
};

void write_picture_manifest(const std::string& folder, const PictureManifest& manifest, FileSystem& files);
// Nothing when it is absent, damaged, of another version, or names a file that is missing or of another size.
std::optional<PictureManifest> read_picture_manifest(const std::string& folder);

PictureSize picture_size(const DataSection& data);
// "train-64x64-0.h5": plain, and different for different sets.
std::string picture_file_name(const std::string& set, const PictureSize& size, std::size_t part);
bool is_finished_shard(const std::string& path, const PictureShardInfo& wanted);
// One of each picture, in order.
std::vector<std::string> read_captions(const std::vector<std::string>& shards);

// files = kept + held_out + duplicates + damaged, for the set and for each of its sources.
Json picture_ledger(const std::string& name, const PictureList& list, const std::vector<PictureFate>& fates);
// Lines on what the user should know of the pictures, appended to `notes`.
void picture_notes(const PictureList& list, const std::vector<PictureFacts>& facts,
                   const std::vector<PictureFate>& fates, const PictureSize& size,
                   std::vector<std::string>& notes);

}  // namespace lathe
