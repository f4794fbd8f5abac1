#pragma once
// Checkpoints of a run: checkpoints/step-00000100/ with files, then MANIFEST.json with the size and SHA-256
// of each. A step exists whole or not at all: temporary folder, fsync, rename. Damaged ones are named and
// skipped for the one before. One writer at a time; readers may be other processes.
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "checkpoints/bundle/tensor.h"
#include "data/io/file_system.h"
#include "data/io/json.h"

namespace lathe {

struct CheckpointFile {  // safetensors or text
  std::string name;      // "model.safetensors", or in one folder: "transformer/config.json"
  std::vector<BundleTensor> tensors;
  std::string text;  // when tensors is empty
};

struct CheckpointEntry {
  std::int64_t step = 0;
  std::string path;
};

class CheckpointStore {
 public:
  CheckpointStore(std::string run_directory, FileSystem& fs = real_file_system());
  // Writes and publishes step; then deletes all but the last keep_last and `best` (when given). The new one
  // is durable before anything is deleted. An existing one of the same step is left as it is when whole, else
  // replaced.
  std::string save(std::int64_t step, const std::vector<CheckpointFile>& files, std::int64_t keep_last,
                   std::optional<std::int64_t> best);
  std::vector<CheckpointEntry> list() const;  // ascending; whole or not
  // Checks MANIFEST.json, sizes and hashes. Returns what is wrong, empty when whole.
  static std::string check(const std::string& path);
  // The newest whole checkpoint; warn(text) is called for each damaged one skipped. Removes left-over
  // temporary folders.
  std::optional<CheckpointEntry> newest(const std::function<void(const std::string&)>& warn);
  // Renames what is newer than `step`, which newest() found damaged, so that it neither counts among the last
  // ones nor stands in a new one's way. Returns the new names.
  std::vector<std::string> put_aside_after(std::int64_t step);

 private:
  std::string directory_;
  FileSystem& fs_;
};

}  // namespace lathe
