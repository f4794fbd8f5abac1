#pragma once
// Reading the structure of an HDF5 file that nobody vouches for. HDF5 1.10.8 has known crashes on crafted
// files, so a child process opens it, under limits on memory, processor time and wall time, and sends back
// plain numbers and strings; whatever happens to the child becomes an Error here. The caller then maps the
// file and checks the contents.
#include <cstdint>
#include <string>

#include "data/shards/encoding_layout.h"
#include "data/shards/layout.h"
#include "data/shards/picture_layout.h"

namespace lathe {

struct ProbeLimits {
  std::uint64_t memory_bytes = std::uint64_t{1} << 30;  // beyond what the process maps already
  int seconds = 20;
};

// Safe to call with other threads running: the child uses HDF5 only, under its inherited lock, and leaves by
// _exit.
ShardLayout probe_hdf5(const std::string& path, const ProbeLimits& limits = {});
// Which kind of shard it says it is: "lathe-tokens", "lathe-pictures", "lathe-encodings" or anything else.
std::string probe_shard_format(const std::string& path, const ProbeLimits& limits = {});
PictureLayout probe_picture_shard(const std::string& path, const ProbeLimits& limits = {});
EncodingLayout probe_encoding_shard(const std::string& path, const ProbeLimits& limits = {});

}  // namespace lathe
