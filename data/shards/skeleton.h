#pragma once
// The HDF5 side of a shard: every structure, attribute and array but the tokens themselves.
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "data/shards/layout.h"
#include "data/shards/packing.h"

namespace lathe {

struct SkeletonContent {
  std::uint64_t tokens = 0, token_width = 2;
  std::vector<std::uint64_t> doc_offsets;
  std::vector<std::uint16_t> doc_sources;
  std::vector<std::uint8_t> supervised;  // empty: every token is
  PackedRows rows;
  std::vector<std::uint64_t> block_hashes;
  ShardInfo info;
};

// Writes path, a file of its final size with a hole where /tokens goes; returns that offset. The same content
// gives the same bytes at any time.
std::uint64_t write_skeleton(const std::string& path, const SkeletonContent& content);

}  // namespace lathe
