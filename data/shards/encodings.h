#pragma once
// The cache of what frozen networks make of pictures and texts, in <cache>/encodings: shards of a few items,
// each named by what its items were made from and by (SHA-256), so that anything that changes gives another
// name and what stays is found again, and an interrupted preparation loses one shard at most. Every shard is
// read and compared with its checksums once a start; a damaged one is made again.
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "data/io/file_system.h"
#include "data/shards/encoding_shard.h"

namespace lathe {

struct EncodingJob {
  std::string what;  // "latents", "texts": begins the files' names
  Json encoder;      // all that shapes values beside the items; stored in every shard
  std::uint64_t items = 0;
  std::uint64_t width = 0;  // values of an item
  std::uint64_t each = 1;   // items a shard
  // What names all items together, where that is cheaper than the key of each; else empty.
  std::string quick;
  std::function<std::string(std::uint64_t item)> key;  // what the item is made from; thread-safe
  std::function<void(std::uint64_t item, std::span<float> values)> encode;  // one thread, ascending
};

struct EncodingWork {
  std::uint64_t items = 0, bytes = 0;  // to be made, on disk
  std::uint64_t damaged = 0;           // shards that are there and are not what they should be
  std::string folder;
};

class Encodings {  // cheap to copy, safe to read from several threads
 public:
  Encodings() = default;
  Encodings(std::vector<EncodingShard> shards, std::uint64_t each)
      : shards_(std::move(shards)), each_(each) {}
  std::span<const float> operator[](std::uint64_t item) const {
    return shards_.at(item / each_).values(item % each_);
  }

 private:
  std::vector<EncodingShard> shards_;
  std::uint64_t each_ = 1;
};

// `before` is told what there is to do, once, if there is anything; `after_each` after each item that was
// made. Error before any work when the disk has too little room.
Encodings prepare_encodings(const std::string& cache, const EncodingJob& job,
                            const std::function<void(const EncodingWork&)>& before = {},
                            const std::function<void(std::uint64_t made)>& after_each = {},
                            FileSystem& files = real_file_system());

}  // namespace lathe
