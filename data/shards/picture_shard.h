#pragma once
// Picture shards: HDF5 files that h5py reads, laid out so that Lathe maps them (contiguous, page-aligned, no
// filters). All pictures of one file have one size; a set of several sizes (aspect buckets) has a file for
// each.
//   /pixels           uint16 [pictures, height, width, channels], 0 .. 65535, the file's own (sRGB) values
//   /masks            uint16 [pictures, height, width], optional: the weight of each place in the loss, 65535
//   in full /captions         uint8, UTF-8, all one after the other; /caption_offsets uint64 [pictures + 1]
//   /names            uint8, the same for the files' names; /name_offsets uint64 [pictures + 1]
//   /numbers          uint64 [pictures], the picture's number in its set; crops of one picture share it
//   /crops            uint16 [pictures], which crop of it
//   /sources          uint16 [pictures], index into data.train
//   /block_hashes     uint64: XXH3-64 of every 64 MiB of /pixels, then of /masks
// Attributes on the root: format "lathe-pictures", version, source_sha256, settings (JSON), index_hash
// (XXH3-64 over everything but /pixels and /masks). Structure and index are checked at opening, a block at
// its first touch.
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "data/io/json.h"
#include "data/shards/shard.h"

namespace lathe {

constexpr std::uint64_t kPictureShardVersion = 1;
constexpr const char* kPictureShardFormat = "lathe-pictures";

struct PictureSize {
  std::int64_t width = 0, height = 0, channels = 3;
  std::uint64_t values() const { return static_cast<std::uint64_t>(width * height * channels); }
  bool operator==(const PictureSize&) const = default;
};

struct PictureShardInfo {
  std::string source_sha256;  // of what the shard was made from
  Json settings;
};

// What is kept of a picture beside its pixels; views live as long as the shard.
struct StoredPicture {
  std::uint64_t number = 0;
  std::uint16_t crop = 0, source = 0;
  std::string_view name, caption;
};

// An open shard: cheap to copy, safe to read from several threads.
class PictureShard {
 public:
  explicit PictureShard(const std::string& path, ShardTrust trust = ShardTrust::Foreign);
  const PictureShardInfo& info() const;
  const PictureSize& size() const;
  std::uint64_t pictures() const;
  bool has_masks() const;
  StoredPicture picture(std::uint64_t index) const;
  std::span<const std::uint16_t> pixels(std::uint64_t index) const;  // (height, width, channels)
  std::span<const std::uint16_t> mask(std::uint64_t index) const;    // (height, width); has_masks()
  void verify() const;  // reads every block and compares its hash; Error naming the block

 private:
  struct State;
  std::shared_ptr<const State> state_;
};

}  // namespace lathe
