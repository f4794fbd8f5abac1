#include "data/shards/layout.h"

#include <algorithm>
#include <filesystem>
#include <vector>

#include "data/io/hash.h"
#include "data/shards/hdf5.h"

namespace lathe {
namespace {

constexpr std::uint64_t kMaxAttribute = std::uint64_t{16} << 20;

H5Handle open_for_reading(const std::string& path) {
  H5Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, path);
#if H5_VERSION_GE(1, 10, 7)
  H5Pset_file_locking(access, 0, 1);  // locks fail on network file systems, and published shards never change
#endif
  return H5Handle(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access), H5Fclose,
                  path + ": not a readable HDF5 file (cut short, damaged or of another format)");
}

// A soft or external link would lead HDF5 to another place or file.
H5Handle open_dataset(hid_t file, const char* name, const std::string& where) {
  H5L_info_t link;
  require(H5Lexists(file, name, H5P_DEFAULT) > 0, where, ": the dataset is missing; is this a Lathe token shard?");
  check_hdf5(H5Lget_info(file, name, &link, H5P_DEFAULT), where);
  require(link.type == H5L_TYPE_HARD, where, ": wanted a dataset, found a soft or external link");
  return H5Handle(H5Dopen2(file, name, H5P_DEFAULT), H5Dclose, where);
}

void check_storage(hid_t dataset, const std::string& where) {
  const H5Handle create(H5Dget_create_plist(dataset), H5Pclose, where);
  const H5D_layout_t storage = H5Pget_layout(create);
  require(storage == H5D_CONTIGUOUS, where, ": wanted contiguous storage, found ",
          storage == H5D_CHUNKED ? "chunks" : storage == H5D_VIRTUAL ? "a virtual dataset" : "compact storage",
          "; rewrite it without chunks and compression (h5repack -l CONTI -f NONE)");
  require(H5Pget_nfilters(create) == 0, where, ": the dataset is filtered (compressed), which cannot be mapped");
  require(H5Pget_external_count(create) == 0, where, ": the data lies in an external file, which is not followed");
}

std::uint64_t integer_width(hid_t dataset, const std::string& where) {
  const H5Handle type(H5Dget_type(dataset), H5Tclose, where);
  const std::size_t width = H5Tget_size(type);
  require(H5Tget_class(type) == H5T_INTEGER && H5Tget_sign(type) == H5T_SGN_NONE &&
              H5Tget_order(type) == H5T_ORDER_LE && H5Tget_precision(type) == 8 * width,
          where, ": wanted little-endian unsigned integers, found another type or byte order");
  return width;
}

struct Wanted {
  const char* name;
  std::vector<std::uint64_t> widths;
  int rank;
  std::uint64_t columns;  // of rank 2
};

ArrayPlace find_array(hid_t file, const Wanted& wanted, const ShardLayout& layout, const std::string& path) {
  const std::string where = path + ": /" + wanted.name;
  const H5Handle dataset = open_dataset(file, wanted.name, where);
  check_storage(dataset, where);
  ArrayPlace place;
  place.width = integer_width(dataset, where);
  bool known = false;
  for (const std::uint64_t width : wanted.widths) known = known || width == place.width;
  require(known, where, ": integers of ", place.width, " bytes are not expected here");

  const H5Handle space(H5Dget_space(dataset), H5Sclose, where);
  require(H5Sget_simple_extent_ndims(space) == wanted.rank, where, ": wanted ", wanted.rank, " dimension(s), found ",
          H5Sget_simple_extent_ndims(space));
  hsize_t dims[2] = {0, 1};
  check_hdf5(H5Sget_simple_extent_dims(space, dims, nullptr), where);
  require(wanted.rank == 1 || dims[1] == wanted.columns, where, ": wanted ", wanted.columns, " columns, found ",
          dims[1]);
  require(dims[0] <= layout.file_size, where, ": ", dims[0], " elements cannot lie in a file of ", layout.file_size,
          " bytes");
  place.count = dims[0] * dims[1];
  if (place.count == 0) return place;

  const haddr_t offset = H5Dget_offset(dataset);
  H5Eclear2(H5E_DEFAULT);
  require(offset != HADDR_UNDEF, where, ": no storage was ever allocated for the dataset");
  place.offset = offset;
  require(place.bytes() <= layout.file_size && offset <= layout.file_size - place.bytes(), where, ": bytes ", offset,
          " to ", offset + place.bytes(), " lie outside of the file of ", layout.file_size, " bytes (cut short?)");
  require(offset % place.width == 0, where, ": the data begins at byte ", offset, ", which is not a multiple of ",
          place.width);
  return place;
}

H5Handle open_attribute(hid_t root, const char* name, const std::string& where) {
  require(H5Aexists(root, name) > 0, where, ": the attribute is missing; is this a Lathe token shard?");
  H5Handle attribute(H5Aopen(root, name, H5P_DEFAULT), H5Aclose, where);
  const H5Handle space(H5Aget_space(attribute), H5Sclose, where);
  require(H5Sget_simple_extent_npoints(space) == 1, where, ": wanted one value");
  return attribute;
}

std::uint64_t number_attribute(hid_t root, const char* name, const std::string& path) {
  const std::string where = path + ": attribute " + name;
  const H5Handle attribute = open_attribute(root, name, where);
  const H5Handle type(H5Aget_type(attribute), H5Tclose, where);
  require(H5Tget_class(type) == H5T_INTEGER, where, ": wanted an integer");
  std::uint64_t value = 0;
  check_hdf5(H5Aread(attribute, H5T_NATIVE_UINT64, &value), where);
  return value;
}

std::string text_attribute(hid_t root, const char* name, const std::string& path) {
  const std::string where = path + ": attribute " + name;
  const H5Handle attribute = open_attribute(root, name, where);
  const H5Handle type(H5Aget_type(attribute), H5Tclose, where);
  require(H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) == 0, where,
          ": wanted a string of fixed length");
  const std::size_t size = H5Tget_size(type);
  require(size > 0 && size <= kMaxAttribute, where, ": a string of ", size, " bytes is not expected here");
  std::string text(size, '\0');
  check_hdf5(H5Aread(attribute, type, text.data()), where);
  text.resize(std::min(text.find('\0'), text.size()));
  return text;
}

}  // namespace

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
  const H5Handle file = open_for_reading(path);
  const H5Handle create(H5Fget_create_plist(file), H5Pclose, path);
  hsize_t user_block = 0;
  check_hdf5(H5Pget_userblock(create, &user_block), path);
  require(user_block == 0, path, ": HDF5 files with a user block are not read");

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

  layout.tokens = find_array(file, {"tokens", {2, 4}, 1, 1}, layout, path);
  layout.doc_offsets = find_array(file, {"doc_offsets", {8}, 1, 1}, layout, path);
  layout.doc_sources = find_array(file, {"doc_sources", {2}, 1, 1}, layout, path);
  layout.rows = find_array(file, {"rows", {8}, 2, 3}, layout, path);
  layout.row_offsets = find_array(file, {"row_offsets", {8}, 1, 1}, layout, path);
  layout.block_hashes = find_array(file, {"block_hashes", {8}, 1, 1}, layout, path);
  layout.supervised.width = 1;
  if (H5Lexists(file, "supervised", H5P_DEFAULT) > 0)
    layout.supervised = find_array(file, {"supervised", {1}, 1, 1}, layout, path);
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
