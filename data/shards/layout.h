#pragma once
// Where a token shard keeps its arrays: what HDF5 is asked for once, before the file is mapped. Plain data,
// so that a child process can read an untrusted file's structure and send the answer through a pipe.
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "data/io/json.h"
#include "data/shards/shard.h"

namespace lathe {

constexpr std::uint64_t kShardVersion = 1;
constexpr const char* kShardFormat = "lathe-tokens";
constexpr std::uint64_t kBlockBytes = std::uint64_t{64} << 20;  // of /tokens, one hash each

struct ArrayPlace {
  std::uint64_t offset = 0, count = 0;  // in the file; elements over all dimensions
  std::uint64_t width = 0;              // bytes an element
  std::uint64_t bytes() const { return count * width; }
};

// What shards of every kind say of themselves.
struct ShardHead {
  std::uint64_t file_size = 0, version = 0, index_hash = 0;
  std::string format, source_sha256, settings;
};

struct ShardLayout : ShardHead {
  ArrayPlace tokens, doc_offsets, doc_sources, rows, row_offsets, block_hashes;
  ArrayPlace supervised;  // count 0: the shard has none
  std::uint64_t vocab_size = 0, sequence_length = 0;
  std::string tokenizer_sha256, ledger;
};

// Opens `path` with HDF5 and refuses, with an Error that names the dataset, everything that could not be
// mapped: other than contiguous storage, filters, external or virtual files, links that are not hard, byte
// orders and types other than little-endian unsigned integers, offsets outside of the file. Takes
// hdf5_mutex().
ShardLayout read_layout(const std::string& path);
// The same for a caller that holds hdf5_mutex() or is the only thread.
ShardLayout read_layout_locked(const std::string& path);

Json layout_to_json(const ShardLayout& layout);
ShardLayout layout_from_json(const Json& json, const std::string& path);

// XXH3-64 over all attributes and the bytes of every array but /tokens, in the order of shard.h.
std::uint64_t index_hash(const ShardLayout& layout, std::span<const std::span<const std::byte>> arrays);

}  // namespace lathe
