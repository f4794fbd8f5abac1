#pragma once
// Where a picture shard keeps its arrays; see data/shards/layout.h, whose rules hold here too.
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "data/io/json.h"
#include "data/shards/layout.h"
#include "data/shards/picture_shard.h"

namespace lathe {

struct PictureLayout : ShardHead {
  PictureSize size;
  std::uint64_t pictures = 0;
  ArrayPlace pixels, masks;  // masks.count 0: the shard has none
  ArrayPlace captions, caption_offsets, names, name_offsets, numbers, crops, sources, block_hashes;
};

// Errors name the dataset. Takes hdf5_mutex(); the second is for a caller that holds it or is the only
// thread.
PictureLayout read_picture_layout(const std::string& path);
PictureLayout read_picture_layout_locked(const std::string& path);

Json picture_layout_to_json(const PictureLayout& layout);
PictureLayout picture_layout_from_json(const Json& json, const std::string& path);

// XXH3-64 over attributes, sizes and the arrays from captions to block_hashes, in the order of the struct.
std::uint64_t picture_index_hash(const PictureLayout& layout,
                                 std::span<const std::span<const std::byte>> arrays);

}  // namespace lathe
