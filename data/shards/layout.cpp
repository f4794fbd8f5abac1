#include "data/shards/layout.h"

#include <algorithm>
#include <filesystem>
#include <vector>

#include "data/io/hash.h"
#include "data/shards/hdf5_arrays.h"

namespace lathe {

ShardLayout read_layout(const std::string& path) {
  const std::lock_guard lock(hdf5_mutex());
  return read_layout_locked(path);
}

ShardLayout read_layout_locked(const std::string& path) {
  ShardLayout layout;
  std::error_code error;
  layout.file_size = std::filesystem::file_size(path, error);
  require(!error, path, ": cannot be opened: ", error.message());
  start_hdf5();
  const H5Handle file = open_shard_for_reading(path);
  const H5Handle root(H5Gopen2(file, "/", H5P_DEFAULT), H5Gclose, path);
  layout.format = text_attribute(root, "format", path);
  require(layout.format == kShardFormat, path, ": wanted format '", kShardFormat, "', found '", layout.format, "'");
  layout.version = number_attribute(root, "version", path);
  require(layout.version == kShardVersion, path, ": version ", layout.version, " is not known, this program reads ",
          kShardVersion, "; prepare the data again");
  layout.vocab_size = number_attribute(root, "vocab_size", path);
  layout.sequence_length = number_attribute(root, "sequence_length", path);
  layout.index_hash = number_attribute(root, "index_hash", path);
  layout.tokenizer_sha256 = text_attribute(root, "tokenizer_sha256", path);
  layout.source_sha256 = text_attribute(root, "source_sha256", path);
  layout.settings = text_attribute(root, "settings", path);
  layout.ledger = text_attribute(root, "ledger", path);

  const auto find = [&](const char* name, std::vector<std::uint64_t> widths, int rank = 1) {
    const FoundArray found = find_array(file, {name, std::move(widths), rank}, layout.file_size, path);
    require(rank == 1 || found.dims[1] == 3, path, ": /", name, ": wanted 3 columns, found ", found.dims.back());
    return found.place;
  };
  layout.tokens = find("tokens", {2, 4});
  layout.doc_offsets = find("doc_offsets", {8});
  layout.doc_sources = find("doc_sources", {2});
  layout.rows = find("rows", {8}, 2);
  layout.row_offsets = find("row_offsets", {8});
  layout.block_hashes = find("block_hashes", {8});
  layout.supervised.width = 1;
  if (H5Lexists(file, "supervised", H5P_DEFAULT) > 0) layout.supervised = find("supervised", {1});
  return layout;
}

std::uint64_t index_hash(const ShardLayout& layout, std::span<const std::span<const std::byte>> arrays) {
  std::string text = cat(layout.format, '\n', layout.version, '\n', layout.vocab_size, '\n', layout.sequence_length,
                         '\n', layout.tokens.count, '\n', layout.tokens.width, '\n', layout.tokenizer_sha256, '\n',
                         layout.source_sha256, '\n', layout.settings, '\n', layout.ledger, '\n');
  for (const auto& array : arrays) text += cat(array.size(), ' ', xxh3(array), '\n');
  return xxh3(std::as_bytes(std::span(text)));
}

}  // namespace lathe
