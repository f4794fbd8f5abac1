#include "data/shards/layout.h"

#include <algorithm>
#include <vector>

#include "data/io/hash.h"
#include "data/shards/hdf5_arrays.h"
#include "data/shards/layout_fields.h"

namespace lathe {

template <class Layout, class Visit>
void each_array(Layout& layout, const Visit& visit) {
  visit("tokens", layout.tokens);
  visit("doc_offsets", layout.doc_offsets);
  visit("doc_sources", layout.doc_sources);
  visit("rows", layout.rows);
  visit("row_offsets", layout.row_offsets);
  visit("block_hashes", layout.block_hashes);
  visit("supervised", layout.supervised);
}

template <class Layout, class Visit>
void each_value(Layout& layout, const Visit& visit) {
  visit("vocab_size", layout.vocab_size);
  visit("sequence_length", layout.sequence_length);
  visit("tokenizer_sha256", layout.tokenizer_sha256);
  visit("ledger", layout.ledger);
}

ShardLayout read_layout(const std::string& path) {
  const std::lock_guard lock(hdf5_mutex());
  return read_layout_locked(path);
}

ShardLayout read_layout_locked(const std::string& path) {
  ShardLayout layout;
  const OpenShard shard = open_shard(path, kShardFormat, kShardVersion, layout);
  const hid_t file = shard.file, root = shard.root;
  layout.vocab_size = number_attribute(root, "vocab_size", path);
  layout.sequence_length = number_attribute(root, "sequence_length", path);
  layout.tokenizer_sha256 = text_attribute(root, "tokenizer_sha256", path);
  layout.ledger = text_attribute(root, "ledger", path);

  const auto find = [&](const char* name, std::vector<std::uint64_t> widths, int rank = 1) {
    const FoundArray found = find_array(file, {name, std::move(widths), rank}, layout.file_size, path);
    require(rank == 1 || found.dims[1] == 3, path, ": /", name, ": wanted 3 columns, found ",
            found.dims.back());
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

Json layout_to_json(const ShardLayout& layout) { return fields_to_json(layout); }

ShardLayout layout_from_json(const Json& json, const std::string& path) {
  return fields_from_json<ShardLayout>(json, path);
}

std::uint64_t index_hash(const ShardLayout& layout, std::span<const std::span<const std::byte>> arrays) {
  std::string text =
      cat(layout.format, '\n', layout.version, '\n', layout.vocab_size, '\n', layout.sequence_length, '\n',
          layout.tokens.count, '\n', layout.tokens.width, '\n', layout.tokenizer_sha256, '\n',
          layout.source_sha256, '\n', layout.settings, '\n', layout.ledger, '\n');
  for (const auto& array : arrays) text += cat(array.size(), ' ', xxh3(array), '\n');
  return xxh3(std::as_bytes(std::span(text)));
}

}  // namespace lathe
