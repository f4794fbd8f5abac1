#include "data/shards/hdf5_arrays.h"

#include <algorithm>
#include <filesystem>

namespace lathe {
namespace {

constexpr std::uint64_t kMaxAttribute = std::uint64_t{16} << 20;
constexpr hsize_t kPage = 4096;  // arrays begin at pages, so that mappings of them are aligned

H5Handle open_for_reading(const std::string& path) {
  H5Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, path);
#if H5_VERSION_GE(1, 10, 7)
  H5Pset_file_locking(access, 0, 1);  // locks fail on network file systems, and published shards never change
#endif
  return H5Handle(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access), H5Fclose,
                  path + ": not a readable HDF5 file (cut short, damaged or of another format)");
}

H5Handle open_shard_file(const std::string& path) {
  start_hdf5();
  H5Handle file = open_for_reading(path);
  const H5Handle create(H5Fget_create_plist(file), H5Pclose, path);
  hsize_t user_block = 0;
  check_hdf5(H5Pget_userblock(create, &user_block), path);
  require(user_block == 0, path, ": HDF5 files with a user block are not read");
  return file;
}

// A soft or external link would lead HDF5 to another place or file.
H5Handle open_dataset(hid_t file, const char* name, const std::string& where) {
  H5L_info_t link;
  require(H5Lexists(file, name, H5P_DEFAULT) > 0, where, ": the dataset is missing; is this a Lathe shard?");
  check_hdf5(H5Lget_info(file, name, &link, H5P_DEFAULT), where);
  require(link.type == H5L_TYPE_HARD, where, ": wanted a dataset, found a soft or external link");
  return H5Handle(H5Dopen2(file, name, H5P_DEFAULT), H5Dclose, where);
}

void check_storage(hid_t dataset, const std::string& where) {
  const H5Handle create(H5Dget_create_plist(dataset), H5Pclose, where);
  const H5D_layout_t storage = H5Pget_layout(create);
  require(storage == H5D_CONTIGUOUS, where, ": wanted contiguous storage, found ",
          storage == H5D_CHUNKED   ? "chunks"
          : storage == H5D_VIRTUAL ? "a virtual dataset"
                                   : "compact storage",
          "; rewrite it without chunks and compression (h5repack -l CONTI -f NONE)");
  require(H5Pget_nfilters(create) == 0, where,
          ": the dataset is filtered (compressed), which cannot be mapped");
  require(H5Pget_external_count(create) == 0, where,
          ": the data lies in an external file, which is not followed");
}

std::uint64_t float_width(hid_t dataset, const std::string& where) {
  const H5Handle type(H5Dget_type(dataset), H5Tclose, where);
  require(H5Tequal(type, H5T_IEEE_F32LE) > 0, where,
          ": wanted little-endian 32-bit floating-point numbers, found another type or byte order");
  return sizeof(float);
}

std::uint64_t integer_width(hid_t dataset, const std::string& where) {
  const H5Handle type(H5Dget_type(dataset), H5Tclose, where);
  const std::size_t width = H5Tget_size(type);
  require(H5Tget_class(type) == H5T_INTEGER && H5Tget_sign(type) == H5T_SGN_NONE &&
              H5Tget_order(type) == H5T_ORDER_LE && H5Tget_precision(type) == 8 * width,
          where, ": wanted little-endian unsigned integers, found another type or byte order");
  return width;
}

H5Handle open_attribute(hid_t root, const char* name, const std::string& where) {
  require(H5Aexists(root, name) > 0, where, ": the attribute is missing; is this a Lathe shard?");
  H5Handle attribute(H5Aopen(root, name, H5P_DEFAULT), H5Aclose, where);
  const H5Handle space(H5Aget_space(attribute), H5Sclose, where);
  require(H5Sget_simple_extent_npoints(space) == 1, where, ": wanted one value");
  return attribute;
}

}  // namespace

FoundArray find_array(hid_t file, const WantedArray& wanted, std::uint64_t file_size,
                      const std::string& path) {
  const std::string where = path + ": /" + wanted.name;
  const H5Handle dataset = open_dataset(file, wanted.name, where);
  check_storage(dataset, where);
  FoundArray found;
  ArrayPlace& place = found.place;
  place.width = wanted.floats ? float_width(dataset, where) : integer_width(dataset, where);
  bool known = false;
  for (const std::uint64_t width : wanted.widths) known = known || width == place.width;
  require(known, where, ": integers of ", place.width, " bytes are not expected here");

  const H5Handle space(H5Dget_space(dataset), H5Sclose, where);
  const int rank = H5Sget_simple_extent_ndims(space);
  require(rank == wanted.rank && rank >= 1, where, ": wanted ", wanted.rank, " dimension(s), found ", rank);
  std::vector<hsize_t> dims(static_cast<std::size_t>(rank));
  check_hdf5(H5Sget_simple_extent_dims(space, dims.data(), nullptr), where);
  place.count = 1;
  for (const hsize_t size : dims) {
    require(size <= file_size && (size == 0 || place.count <= file_size / size), where, ": ", size,
            " elements cannot lie in a file of ", file_size, " bytes");
    place.count *= size;
  }
  found.dims.assign(dims.begin(), dims.end());
  if (place.count == 0) return found;

  const haddr_t offset = H5Dget_offset(dataset);
  H5Eclear2(H5E_DEFAULT);
  require(offset != HADDR_UNDEF, where, ": no storage was ever allocated for the dataset");
  place.offset = offset;
  require(place.count <= file_size / place.width && place.bytes() <= file_size &&
              offset <= file_size - place.bytes(),
          where, ": bytes ", offset, " to ", offset + place.bytes(), " lie outside of the file of ",
          file_size, " bytes (cut short?)");
  require(offset % place.width == 0, where, ": the data begins at byte ", offset,
          ", which is not a multiple of ", place.width);
  return found;
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

H5Handle create_hdf5(const std::string& path) {
  const H5Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, path);
  check_hdf5(H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_V18), path);
  check_hdf5(H5Pset_alignment(access, 1, kPage), path);
#if H5_VERSION_GE(1, 10, 7)
  check_hdf5(H5Pset_file_locking(access, 0, 1), path);
#endif
  const H5Handle create(H5Pcreate(H5P_FILE_CREATE), H5Pclose, path);
  check_hdf5(H5Pset_obj_track_times(create, 0), path);  // of the root group
  return H5Handle(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, create, access), H5Fclose,
                  path + ": cannot be created");
}

std::uint64_t write_array(hid_t file, const NewArray& array, const std::string& path) {
  const std::string where = path + ": /" + array.name;
  const H5Handle space(H5Screate_simple(static_cast<int>(array.dims.size()), array.dims.data(), nullptr),
                       H5Sclose, where);
  const H5Handle create(H5Pcreate(H5P_DATASET_CREATE), H5Pclose, where);
  check_hdf5(H5Pset_layout(create, H5D_CONTIGUOUS), where);
  check_hdf5(H5Pset_alloc_time(create, H5D_ALLOC_TIME_EARLY), where);
  check_hdf5(H5Pset_fill_time(create, H5D_FILL_TIME_NEVER), where);
  check_hdf5(H5Pset_obj_track_times(create, 0), where);  // or the bytes differ a second later
  H5Handle dataset(H5Dcreate2(file, array.name, array.stored, space, H5P_DEFAULT, create, H5P_DEFAULT),
                   H5Dclose, where);
  if (array.data != nullptr) {
    check_hdf5(H5Dwrite(dataset, array.in_memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, array.data), where);
  }
  const haddr_t offset = H5Dget_offset(dataset);
  const bool empty = std::find(array.dims.begin(), array.dims.end(), hsize_t{0}) != array.dims.end();
  require(offset != HADDR_UNDEF || empty, where, ": HDF5 allocated no storage");
  dataset.close(where);
  return offset;
}

void write_text(hid_t file, const char* name, const std::string& text) {
  const H5Handle type(H5Tcopy(H5T_C_S1), H5Tclose, name);
  check_hdf5(H5Tset_size(type, std::max<std::size_t>(1, text.size())), name);
  check_hdf5(H5Tset_strpad(type, H5T_STR_NULLPAD), name);
  check_hdf5(H5Tset_cset(type, H5T_CSET_UTF8), name);
  const H5Handle space(H5Screate(H5S_SCALAR), H5Sclose, name);
  H5Handle attribute(H5Acreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose, name);
  check_hdf5(H5Awrite(attribute, type, text.c_str()), name);
  attribute.close(name);
}

void write_number(hid_t file, const char* name, std::uint64_t value) {
  const H5Handle space(H5Screate(H5S_SCALAR), H5Sclose, name);
  H5Handle attribute(H5Acreate2(file, name, H5T_STD_U64LE, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose, name);
  check_hdf5(H5Awrite(attribute, H5T_NATIVE_UINT64, &value), name);
  attribute.close(name);
}

OpenShard open_shard(const std::string& path, const std::string& format, std::uint64_t version,
                     ShardHead& head) {
  OpenShard shard;
  std::error_code error;
  head.file_size = std::filesystem::file_size(path, error);
  require(!error, path, ": cannot be opened: ", error.message());
  shard.file = open_shard_file(path);
  shard.root = H5Handle(H5Gopen2(shard.file, "/", H5P_DEFAULT), H5Gclose, path);
  head.format = text_attribute(shard.root, "format", path);
  require(head.format == format, path, ": wanted format '", format, "', found '", head.format, "'");
  head.version = number_attribute(shard.root, "version", path);
  require(head.version == version, path, ": version ", head.version, " is not known, this program reads ",
          version, "; prepare the data again");
  head.index_hash = number_attribute(shard.root, "index_hash", path);
  head.source_sha256 = text_attribute(shard.root, "source_sha256", path);
  head.settings = text_attribute(shard.root, "settings", path);
  return shard;
}

void write_head(hid_t file, const ShardHead& head) {
  write_text(file, "format", head.format);
  write_number(file, "version", head.version);
  write_text(file, "source_sha256", head.source_sha256);
  write_text(file, "settings", head.settings);
  write_number(file, "index_hash", head.index_hash);
}

std::string read_shard_format(const std::string& path) {
  const H5Handle file = open_shard_file(path);
  const H5Handle root(H5Gopen2(file, "/", H5P_DEFAULT), H5Gclose, path);
  return text_attribute(root, "format", path);
}

}  // namespace lathe
