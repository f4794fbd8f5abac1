#include "data/shards/skeleton.h"

#include <algorithm>
#include <mutex>

#include "data/shards/hdf5.h"

namespace lathe {
namespace {

constexpr hsize_t kPage = 4096;  // arrays begin at pages, so that mappings of them are aligned

H5Handle create_file(const std::string& path) {
  const H5Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, path);
  check_hdf5(H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_V18), path);
  check_hdf5(H5Pset_alignment(access, 1, kPage), path);
#if H5_VERSION_GE(1, 10, 7)
  check_hdf5(H5Pset_file_locking(access, 0, 1), path);
#endif
  const H5Handle create(H5Pcreate(H5P_FILE_CREATE), H5Pclose, path);
  check_hdf5(H5Pset_obj_track_times(create, 0), path);  // of the root group
  return H5Handle(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, create, access), H5Fclose, path + ": cannot be created");
}

struct NewArray {
  const char* name;
  hid_t stored, in_memory;
  std::vector<hsize_t> dims;
  const void* data;  // null: left as a hole
};

std::uint64_t write_array(hid_t file, const NewArray& array, const std::string& path) {
  const std::string where = path + ": /" + array.name;
  const H5Handle space(H5Screate_simple(static_cast<int>(array.dims.size()), array.dims.data(), nullptr), H5Sclose,
                       where);
  const H5Handle create(H5Pcreate(H5P_DATASET_CREATE), H5Pclose, where);
  check_hdf5(H5Pset_layout(create, H5D_CONTIGUOUS), where);
  check_hdf5(H5Pset_alloc_time(create, H5D_ALLOC_TIME_EARLY), where);
  check_hdf5(H5Pset_fill_time(create, H5D_FILL_TIME_NEVER), where);
  check_hdf5(H5Pset_obj_track_times(create, 0), where);  // or the bytes differ a second later
  H5Handle dataset(H5Dcreate2(file, array.name, array.stored, space, H5P_DEFAULT, create, H5P_DEFAULT), H5Dclose,
                   where);
  if (array.data != nullptr) {
    check_hdf5(H5Dwrite(dataset, array.in_memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, array.data), where);
  }
  const haddr_t offset = H5Dget_offset(dataset);
  require(offset != HADDR_UNDEF, where, ": HDF5 allocated no storage");
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

template <class T>
std::span<const std::byte> bytes_of(const std::vector<T>& values) {
  return std::as_bytes(std::span<const T>(values));
}

void write_attributes(hid_t file, const SkeletonContent& content) {
  ShardLayout layout;
  layout.format = kShardFormat;
  layout.version = kShardVersion;
  layout.vocab_size = content.info.vocab_size;
  layout.sequence_length = content.info.sequence_length;
  layout.tokenizer_sha256 = content.info.tokenizer_sha256;
  layout.source_sha256 = content.info.source_sha256;
  layout.settings = content.info.settings.dump();
  layout.ledger = content.info.ledger.to_json().dump();
  layout.tokens = {0, content.tokens, content.token_width};
  std::vector<std::span<const std::byte>> arrays = {bytes_of(content.doc_offsets), bytes_of(content.doc_sources),
                                                    bytes_of(content.rows.segments), bytes_of(content.rows.offsets),
                                                    bytes_of(content.block_hashes)};
  if (!content.supervised.empty()) arrays.push_back(bytes_of(content.supervised));
  write_text(file, "format", layout.format);
  write_number(file, "version", layout.version);
  write_text(file, "tokenizer_sha256", layout.tokenizer_sha256);
  write_text(file, "source_sha256", layout.source_sha256);
  write_text(file, "settings", layout.settings);
  write_number(file, "vocab_size", layout.vocab_size);
  write_number(file, "sequence_length", layout.sequence_length);
  write_text(file, "ledger", layout.ledger);
  write_number(file, "index_hash", index_hash(layout, arrays));
}

}  // namespace

std::uint64_t write_skeleton(const std::string& path, const SkeletonContent& content) {
  const std::lock_guard lock(hdf5_mutex());
  start_hdf5();
  H5Handle file = create_file(path);
  write_attributes(file, content);
  const hid_t token_type = content.token_width == 2 ? H5T_STD_U16LE : H5T_STD_U32LE;
  const std::uint64_t offset = write_array(file, {"tokens", token_type, token_type, {content.tokens}, nullptr}, path);
  const auto write_numbers = [&](const char* name, std::vector<hsize_t> dims, const std::uint64_t* data) {
    write_array(file, {name, H5T_STD_U64LE, H5T_NATIVE_UINT64, std::move(dims), data}, path);
  };
  write_numbers("doc_offsets", {content.doc_offsets.size()}, content.doc_offsets.data());
  write_array(file, {"doc_sources", H5T_STD_U16LE, H5T_NATIVE_UINT16, {content.doc_sources.size()},
                     content.doc_sources.data()}, path);
  write_numbers("rows", {content.rows.segments.size(), 3}, &content.rows.segments.data()->document);
  write_numbers("row_offsets", {content.rows.offsets.size()}, content.rows.offsets.data());
  write_numbers("block_hashes", {content.block_hashes.size()}, content.block_hashes.data());
  if (!content.supervised.empty()) {
    write_array(file, {"supervised", H5T_STD_U8LE, H5T_NATIVE_UINT8, {content.supervised.size()},
                       content.supervised.data()}, path);
  }
  file.close(path + ": cannot be written");
  return offset;
}

}  // namespace lathe
