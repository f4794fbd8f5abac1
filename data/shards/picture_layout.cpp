#include "data/shards/picture_layout.h"

#include <filesystem>

#include "data/io/hash.h"
#include "data/shards/hdf5_arrays.h"

namespace lathe {
namespace {

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
  visit("file_size", layout.file_size);
  visit("version", layout.version);
  visit("index_hash", layout.index_hash);
  visit("format", layout.format);
  visit("source_sha256", layout.source_sha256);
  visit("settings", layout.settings);
  visit("width", layout.size.width);
  visit("height", layout.size.height);
  visit("channels", layout.size.channels);
  visit("pictures", layout.pictures);
}

}  // namespace

PictureLayout read_picture_layout(const std::string& path) {
  const std::lock_guard lock(hdf5_mutex());
  return read_picture_layout_locked(path);
}

PictureLayout read_picture_layout_locked(const std::string& path) {
  PictureLayout layout;
  std::error_code error;
  layout.file_size = std::filesystem::file_size(path, error);
  require(!error, path, ": cannot be opened: ", error.message());
  start_hdf5();
  const H5Handle file = open_shard_for_reading(path);
  const H5Handle root(H5Gopen2(file, "/", H5P_DEFAULT), H5Gclose, path);
  layout.format = text_attribute(root, "format", path);
  require(layout.format == kPictureShardFormat, path, ": wanted format '", kPictureShardFormat, "', found '",
          layout.format, "'");
  layout.version = number_attribute(root, "version", path);
  require(layout.version == kPictureShardVersion, path, ": version ", layout.version,
          " is not known, this program reads ", kPictureShardVersion, "; prepare the data again");
  layout.index_hash = number_attribute(root, "index_hash", path);
  layout.source_sha256 = text_attribute(root, "source_sha256", path);
  layout.settings = text_attribute(root, "settings", path);

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

Json picture_layout_to_json(const PictureLayout& layout) {
  Json json = Json::object();
  each_array(layout, [&](const char* name, const ArrayPlace& place) {
    json[name] = Json::array({place.offset, place.count, place.width});
  });
  each_value(layout, [&](const char* name, const auto& value) { json[name] = value; });
  return json;
}

PictureLayout picture_layout_from_json(const Json& json, const std::string& path) {
  PictureLayout layout;
  each_array(layout, [&](const char* name, ArrayPlace& place) {
    const auto values = json_get<std::vector<std::uint64_t>>(json, name, path);
    require(values.size() == 3, path, ": the answer about '", name, "' is not whole");
    place = {values[0], values[1], values[2]};
  });
  each_value(layout, [&](const char* name, auto& value) {
    value = json_get<std::decay_t<decltype(value)>>(json, name, path);
  });
  return layout;
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
