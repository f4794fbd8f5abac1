#include "data/shards/encoding_layout.h"

#include <mutex>

#include "data/io/hash.h"
#include "data/shards/encoding_shard.h"
#include "data/shards/hdf5_arrays.h"
#include "data/shards/layout_fields.h"

namespace lathe {

template <class Layout, class Visit>
void each_array(Layout& layout, const Visit& visit) {
  visit("values", layout.values);
  visit("block_hashes", layout.block_hashes);
}

template <class Layout, class Visit>
void each_value(Layout& layout, const Visit& visit) {
  visit("items", layout.items);
  visit("width", layout.width);
}

EncodingLayout read_encoding_layout(const std::string& path) {
  const std::lock_guard lock(hdf5_mutex());
  return read_encoding_layout_locked(path);
}

EncodingLayout read_encoding_layout_locked(const std::string& path) {
  EncodingLayout layout;
  const OpenShard shard = open_shard(path, kEncodingShardFormat, kEncodingShardVersion, layout);
  const FoundArray values =
      find_array(shard.file, {"values", {sizeof(float)}, 2, /*floats=*/true}, layout.file_size, path);
  layout.values = values.place;
  layout.items = values.dims[0];
  layout.width = values.dims[1];
  layout.block_hashes = find_array(shard.file, {"block_hashes", {8}, 1}, layout.file_size, path).place;
  return layout;
}

Json encoding_layout_to_json(const EncodingLayout& layout) { return fields_to_json(layout); }

EncodingLayout encoding_layout_from_json(const Json& json, const std::string& path) {
  return fields_from_json<EncodingLayout>(json, path);
}

std::uint64_t encoding_index_hash(const EncodingLayout& layout, std::span<const std::byte> block_hashes) {
  const std::string text =
      cat(layout.format, '\n', layout.version, '\n', layout.items, ' ', layout.width, '\n',
          layout.source_sha256, '\n', layout.settings, '\n', block_hashes.size(), ' ', xxh3(block_hashes));
  return xxh3(std::as_bytes(std::span(text)));
}

}  // namespace lathe
