#pragma once
// prepared.json of a folder of picture shards: the record of a complete preparation, written last; and the
// facts that a preparation tells its user.
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "data/io/file_system.h"
#include "data/io/json.h"
#include "data/shards/picture_shard.h"

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

// "train-64x64-0.h5": plain, and different for different sets.
std::string picture_file_name(const std::string& set, const PictureSize& size, std::size_t part);
bool is_finished_shard(const std::string& path, const PictureShardInfo& wanted);
// One of each picture, in order.
std::vector<std::string> read_captions(const std::vector<std::string>& shards);

}  // namespace lathe
