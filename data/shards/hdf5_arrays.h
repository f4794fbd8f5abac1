#pragma once
// Arrays and attributes of a shard, as every kind of shard stores them: contiguous little-endian unsigned
// integers or floats that begin at pages, texts and numbers on the root. For the .cpp files of this folder;
// the caller holds hdf5_mutex().
#include <cstdint>
#include <string>
#include <vector>

#include "data/shards/hdf5.h"
#include "data/shards/layout.h"

namespace lathe {

struct OpenShard {
  H5Handle file, root;
};

// Fills `head`. Refuses what is no HDF5 file, has a user block, or says another format or version.
OpenShard open_shard(const std::string& path, const std::string& format, std::uint64_t version,
                     ShardHead& head);

// The attribute that says what kind of shard a file is.
std::string read_shard_format(const std::string& path);

struct WantedArray {
  const char* name;
  std::vector<std::uint64_t> widths;  // bytes an element, those allowed
  int rank;
  bool floats = false;  // of 32 bits, not unsigned integers
};

struct FoundArray {
  ArrayPlace place;
  std::vector<std::uint64_t> dims;
};

// Errors name the dataset: other than contiguous storage, filters, external or virtual files, links that are
// not hard, other types, byte orders or ranks, bytes outside of the file.
FoundArray find_array(hid_t file, const WantedArray& wanted, std::uint64_t file_size,
                      const std::string& path);
std::uint64_t number_attribute(hid_t root, const char* name, const std::string& path);
std::string text_attribute(hid_t root, const char* name, const std::string& path);

// An empty file whose bytes are a function of what is written to it: no times.
H5Handle create_hdf5(const std::string& path);

struct NewArray {
  const char* name;
  hid_t stored, in_memory;
  std::vector<hsize_t> dims;
  const void* data;  // null: left as a hole
};

// Returns where in the file the array begins.
std::uint64_t write_array(hid_t file, const NewArray& array, const std::string& path);
void write_text(hid_t file, const char* name, const std::string& text);
void write_number(hid_t file, const char* name, std::uint64_t value);
void write_head(hid_t file, const ShardHead& head);

}  // namespace lathe
