#pragma once
// Where an encoding shard keeps its arrays; see data/shards/layout.h, whose rules hold here too.
#include <cstdint>
#include <span>
#include <string>

#include "data/io/json.h"
#include "data/shards/layout.h"

namespace lathe {

struct EncodingLayout : ShardHead {
  std::uint64_t items = 0, width = 0;
  ArrayPlace values, block_hashes;
};

// Errors name the dataset. Takes hdf5_mutex(); the second is for a caller that holds it or is the only
// thread.
EncodingLayout read_encoding_layout(const std::string& path);
EncodingLayout read_encoding_layout_locked(const std::string& path);

Json encoding_layout_to_json(const EncodingLayout& layout);
EncodingLayout encoding_layout_from_json(const Json& json, const std::string& path);

// XXH3-64 over attributes, sizes and /block_hashes.
std::uint64_t encoding_index_hash(const EncodingLayout& layout, std::span<const std::byte> block_hashes);

}  // namespace lathe
