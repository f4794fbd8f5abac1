#pragma once
// MANIFEST.json: which files a folder must hold, how long they are and what their SHA-256 is. Written last,
// so that a folder with a good manifest is whole. Checkpoints and exports carry one.
#include <cstdint>
#include <string>
#include <vector>

#include "data/io/file_system.h"

namespace lathe {

inline constexpr const char* kManifestName = "MANIFEST.json";

struct ManifestFile {
  std::string name;
  std::uint64_t size = 0;
  std::string sha256;
};

struct CheckpointManifest {
  std::string format;      // "lathe-checkpoint", "lathe-export"
  std::int64_t step = -1;  // of a checkpoint
  std::vector<ManifestFile> files;
};

void write_checkpoint_manifest(const std::string& folder, const CheckpointManifest& manifest, FileSystem& fs);
// Error naming what is wrong with it; nothing that the writer would not write is accepted.
CheckpointManifest read_checkpoint_manifest(const std::string& folder);

enum class ManifestCheck { Sizes, Hashes };
// What is wrong with the folder, empty when it is whole.
std::string check_manifest(const std::string& folder, const CheckpointManifest& manifest,
                           ManifestCheck depth);

}  // namespace lathe
