#pragma once
// Writes one picture shard: pixels and masks stream to scratch files, names and captions are held. The file
// exists whole or not at all, and its bytes are a function of what was added alone (data/shards/scratch.h).
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "data/io/file_system.h"
#include "data/shards/picture_shard.h"

namespace lathe {

// Not thread-safe. Destroyed before finish(): the scratch files go, nothing is published.
class PictureShardWriter {
 public:
  PictureShardWriter(std::string path, const PictureSize& size, FileSystem& files = real_file_system());
  ~PictureShardWriter();
  // pixels (height, width, channels); mask (height, width) or empty, which all pictures of a shard have or
  // none.
  void add(const StoredPicture& picture, std::span<const std::uint16_t> pixels,
           std::span<const std::uint16_t> mask = {});
  std::uint64_t pictures() const;
  void finish(const PictureShardInfo& info);  // Error when no picture was added

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lathe
