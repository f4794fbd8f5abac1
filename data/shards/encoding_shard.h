#pragma once
// Encoding shards: what a frozen network makes of pictures or texts, as HDF5 files that h5py reads, laid out
// so that Lathe maps them (contiguous, page-aligned, no filters).
//   /values        float32 [items, width]; attribute settings says what the values of an item are ("parts":
//                  names and shapes, one after the other) and what made them
//   /block_hashes  uint64: XXH3-64 of every 64 MiB of /values
// Attributes on the root: format "lathe-encodings", version, source_sha256 (of what the items were made from
// and by), settings (JSON), index_hash (XXH3-64 over everything but /values). Structure and index are checked
// at opening, a block at its first touch.
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "data/io/file_system.h"
#include "data/io/json.h"
#include "data/shards/shard.h"

namespace lathe {

constexpr std::uint64_t kEncodingShardVersion = 1;
constexpr const char* kEncodingShardFormat = "lathe-encodings";

struct EncodingShardInfo {
  std::string source_sha256;
  Json settings;
};

// An open shard: cheap to copy, safe to read from several threads.
class EncodingShard {
 public:
  explicit EncodingShard(const std::string& path, ShardTrust trust = ShardTrust::Foreign);
  const EncodingShardInfo& info() const;
  std::uint64_t items() const;
  std::uint64_t width() const;  // values of an item
  std::span<const float> values(std::uint64_t item) const;
  void verify() const;  // reads every block and compares its hash; Error naming the block

 private:
  struct State;
  std::shared_ptr<const State> state_;
};

// Writes one: values stream to a scratch file. The file exists whole or not at all, and its bytes are a
// function of what was added alone (data/shards/scratch.h). Not thread-safe. Destroyed before finish():
// nothing is published.
class EncodingShardWriter {
 public:
  EncodingShardWriter(std::string path, std::uint64_t width, FileSystem& files = real_file_system());
  ~EncodingShardWriter();
  void add(std::span<const float> values);
  void finish(const EncodingShardInfo& info);  // Error when nothing was added

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lathe
