#include "data/shards/picture_layout.h"

#include "data/io/hash.h"
#include "data/shards/hdf5_arrays.h"
#include "data/shards/layout_fields.h"

namespace lathe {

template <class Layout, class Visit>
void each_array(Layout& layout, const Visit& visit) {
  visit("pixels", layout.pixels);
  visit("masks", layout.masks);
  visit("captions", layout.captions);
  visit("caption_offsets", layout.caption_offsets);
  visit("names", layout.names);
  visit("name_offsets", layout.name_offsets);
  visit("numbers", layout.numbers);
  visit("crops", layout.crops);
  visit("sources", layout.sources);
  visit("block_hashes", layout.block_hashes);
}

template <class Layout, class Visit>
void each_value(Layout& layout, const Visit& visit) {
  visit("width", layout.size.width);
  visit("height", layout.size.height);
  visit("channels", layout.size.channels);
  visit("pictures", layout.pictures);
}

PictureLayout read_picture_layout(const std::string& path) {
  const std::lock_guard lock(hdf5_mutex());
  return read_picture_layout_locked(path);
}

PictureLayout read_picture_layout_locked(const std::string& path) {
  PictureLayout layout;
  const OpenShard shard = open_shard(path, kPictureShardFormat, kPictureShardVersion, layout);
  const hid_t file = shard.file;

  const auto find = [&](const char* name, std::uint64_t width, int rank = 1) {
    return find_array(file, {name, {width}, rank}, layout.file_size, path);
  };
  const FoundArray pixels = find("pixels", 2, 4);
  layout.pixels = pixels.place;
  layout.pictures = pixels.dims[0];
  layout.size = {static_cast<std::int64_t>(pixels.dims[2]), static_cast<std::int64_t>(pixels.dims[1]),
                 static_cast<std::int64_t>(pixels.dims[3])};
  layout.masks.width = 2;
  if (H5Lexists(file, "masks", H5P_DEFAULT) > 0) layout.masks = find("masks", 2, 3).place;
  layout.captions = find("captions", 1).place;
  layout.caption_offsets = find("caption_offsets", 8).place;
  layout.names = find("names", 1).place;
  layout.name_offsets = find("name_offsets", 8).place;
  layout.numbers = find("numbers", 8).place;
  layout.crops = find("crops", 2).place;
  layout.sources = find("sources", 2).place;
  layout.block_hashes = find("block_hashes", 8).place;
  return layout;
}

Json picture_layout_to_json(const PictureLayout& layout) { return fields_to_json(layout); }

PictureLayout picture_layout_from_json(const Json& json, const std::string& path) {
  return fields_from_json<PictureLayout>(json, path);
}

std::uint64_t picture_index_hash(const PictureLayout& layout,
                                 std::span<const std::span<const std::byte>> arrays) {
  std::string text = cat(layout.format, '\n', layout.version, '\n', layout.pictures, ' ', layout.size.height,
                         ' ', layout.size.width, ' ', layout.size.channels, '\n', layout.masks.count, '\n',
                         layout.source_sha256, '\n', layout.settings, '\n');
  for (const auto& array : arrays) text += cat(array.size(), ' ', xxh3(array), '\n');
  return xxh3(std::as_bytes(std::span(text)));
}

}  // namespace lathe
