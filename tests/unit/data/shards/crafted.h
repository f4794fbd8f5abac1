#pragma once
// A small token shard written by HDF5 itself with the headers of its first format, which carry no checksums:
// every byte of the structure can lie. `spoil` may change the open file before it is closed.
#include <hdf5.h>

#include <cstdint>
#include <cstdlib>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "data/io/hash.h"
#include "data/shards/layout.h"

namespace lathe::testing {

inline void hdf5_ok(long long status) {
  if (status < 0) std::abort();  // a fault of the test itself
}

template <class T>
void craft_array(hid_t file, const char* name, hid_t stored, const std::vector<T>& values,
                 hsize_t columns = 0) {
  const hsize_t dims[2] = {columns ? values.size() / columns : values.size(), columns};
  const hid_t space = H5Screate_simple(columns ? 2 : 1, dims, nullptr);
  const hid_t create = H5Pcreate(H5P_DATASET_CREATE);
  hdf5_ok(H5Pset_alloc_time(create, H5D_ALLOC_TIME_EARLY));
  const hid_t set = H5Dcreate2(file, name, stored, space, H5P_DEFAULT, create, H5P_DEFAULT);
  hdf5_ok(H5Dwrite(set, stored, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()));
  hdf5_ok(H5Dclose(set));
  hdf5_ok(H5Pclose(create));
  hdf5_ok(H5Sclose(space));
}

inline void craft_text(hid_t file, const char* name, const std::string& text) {
  const hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate(H5S_SCALAR);
  hdf5_ok(H5Tset_size(type, text.size()));
  const hid_t attribute = H5Acreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
  hdf5_ok(H5Awrite(attribute, type, text.data()));
  hdf5_ok(H5Aclose(attribute));
  hdf5_ok(H5Sclose(space));
  hdf5_ok(H5Tclose(type));
}

inline void craft_number(hid_t file, const char* name, std::uint64_t value) {
  const hid_t space = H5Screate(H5S_SCALAR);
  const hid_t attribute = H5Acreate2(file, name, H5T_STD_U64LE, space, H5P_DEFAULT, H5P_DEFAULT);
  hdf5_ok(H5Awrite(attribute, H5T_NATIVE_UINT64, &value));
  hdf5_ok(H5Aclose(attribute));
  hdf5_ok(H5Sclose(space));
}

// Documents {5, 6, 7} and {8, 9}, one row of both.
inline void craft_shard(const std::string& path, const std::function<void(hid_t)>& spoil = {}) {
  const std::vector<std::uint16_t> tokens = {5, 6, 7, 8, 9}, sources = {0, 0};
  const std::vector<std::uint64_t> offsets = {0, 3, 5}, rows = {0, 0, 2, 1, 0, 1}, row_offsets = {0, 2},
                                   hashes = {xxh3(std::as_bytes(std::span(tokens)))};
  ShardLayout layout;
  layout.format = kShardFormat;
  layout.version = kShardVersion;
  layout.vocab_size = 10;
  layout.sequence_length = 8;
  layout.tokens = {0, tokens.size(), 2};
  layout.tokenizer_sha256 = "abc";
  layout.source_sha256 = "def";
  layout.settings = "{}";
  layout.ledger = TokenLedger{}.to_json().dump();
  const std::span<const std::byte> arrays[] = {
      std::as_bytes(std::span(offsets)), std::as_bytes(std::span(sources)), std::as_bytes(std::span(rows)),
      std::as_bytes(std::span(row_offsets)), std::as_bytes(std::span(hashes))};
  const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
  hdf5_ok(H5Pset_alignment(access, 1, 8));
  const hid_t file = H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access);
  hdf5_ok(file);
  craft_array(file, "tokens", H5T_STD_U16LE, tokens);
  craft_array(file, "doc_offsets", H5T_STD_U64LE, offsets);
  craft_array(file, "doc_sources", H5T_STD_U16LE, sources);
  craft_array(file, "rows", H5T_STD_U64LE, rows, 3);
  craft_array(file, "row_offsets", H5T_STD_U64LE, row_offsets);
  craft_array(file, "block_hashes", H5T_STD_U64LE, hashes);
  craft_text(file, "format", layout.format);
  craft_text(file, "tokenizer_sha256", layout.tokenizer_sha256);
  craft_text(file, "source_sha256", layout.source_sha256);
  craft_text(file, "settings", layout.settings);
  craft_text(file, "ledger", layout.ledger);
  craft_number(file, "version", layout.version);
  craft_number(file, "vocab_size", layout.vocab_size);
  craft_number(file, "sequence_length", layout.sequence_length);
  craft_number(file, "index_hash", index_hash(layout, arrays));
  if (spoil) spoil(file);
  hdf5_ok(H5Fclose(file));
  hdf5_ok(H5Pclose(access));
}

}  // namespace lathe::testing
