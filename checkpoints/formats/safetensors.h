#pragma once
// safetensors (https://huggingface.co/docs/safetensors: u64 header length, JSON header, data). The reader
// maps the file and rejects every header that the reference reader rejects; the writer streams and syncs.
#include <map>
#include <string>
#include <vector>

#include "checkpoints/bundle/tensor.h"
#include "data/io/file_system.h"

namespace lathe {

struct SafetensorsFile {
  std::vector<BundleTensor> tensors;  // in file order; bytes lie in the mapping
  std::map<std::string, std::string> metadata;
};

SafetensorsFile read_safetensors(const std::string& path);

// Writes tensors in order (names unique). Returns the file's SHA-256. Does not rename: callers publish whole
// folders.
std::string write_safetensors(const std::string& path, const std::vector<BundleTensor>& tensors,
                              const std::map<std::string, std::string>& metadata = {{"format", "pt"}},
                              FileSystem& fs = real_file_system());

// model.safetensors, or shards of at most max_bytes with model.safetensors.index.json. Returns file names
// written.
std::vector<std::string> write_sharded(const std::string& folder, const std::vector<BundleTensor>& tensors,
                                       std::uint64_t max_bytes, FileSystem& fs = real_file_system());
// Either of them; names inside an index must be plain file names.
std::map<std::string, BundleTensor> read_sharded(const std::string& folder);

}  // namespace lathe
