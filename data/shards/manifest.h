#pragma once
// prepared.json: the record of a complete preparation, written last; and the small index beside it that lets
// an unchanged recipe with unchanged files skip reading them.
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "data/io/file_system.h"
#include "data/shards/shard.h"

namespace lathe {

struct ManifestShard {
  std::string file;          // in the manifest's folder
  std::uint64_t bytes = 0;   // of the file
  std::string sha256;        // of the file
  std::uint32_t source = 0;  // index into data.train, 0 for validation
};

struct ManifestSet {
  std::string name;
  std::vector<ManifestShard> shards;
  TokenLedger ledger;
};

struct Manifest {
  std::string data_sha256, tokenizer_folder, tokenizer_sha256;  // the folder lies in the cache
  std::vector<ManifestSet> sets;                                // train first
};

void write_manifest(const std::string& folder, const Manifest& manifest, FileSystem& files);
// Nothing when it is absent, damaged, of another version, or names a file that is missing or of another size.
std::optional<Manifest> read_manifest(const std::string& cache, const std::string& folder);

struct QuickIndex {
  std::string fingerprint;  // of the files' paths, sizes and times
  std::string folder;       // name in the cache
};

void write_quick_index(const std::string& path, const QuickIndex& index, FileSystem& files);
std::optional<QuickIndex> read_quick_index(const std::string& path);

}  // namespace lathe
