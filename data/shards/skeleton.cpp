#include "data/shards/skeleton.h"

#include <algorithm>
#include <mutex>

#include "data/shards/hdf5_arrays.h"

namespace lathe {
namespace {

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
  std::vector<std::span<const std::byte>> arrays = {
      bytes_of(content.doc_offsets), bytes_of(content.doc_sources), bytes_of(content.rows.segments),
      bytes_of(content.rows.offsets), bytes_of(content.block_hashes)};
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
  H5Handle file = create_hdf5(path);
  write_attributes(file, content);
  const hid_t token_type = content.token_width == 2 ? H5T_STD_U16LE : H5T_STD_U32LE;
  const std::uint64_t offset =
      write_array(file, {"tokens", token_type, token_type, {content.tokens}, nullptr}, path);
  const auto write_numbers = [&](const char* name, std::vector<hsize_t> dims, const std::uint64_t* data) {
    write_array(file, {name, H5T_STD_U64LE, H5T_NATIVE_UINT64, std::move(dims), data}, path);
  };
  write_numbers("doc_offsets", {content.doc_offsets.size()}, content.doc_offsets.data());
  write_array(file,
              {"doc_sources",
               H5T_STD_U16LE,
               H5T_NATIVE_UINT16,
               {content.doc_sources.size()},
               content.doc_sources.data()},
              path);
  write_numbers("rows", {content.rows.segments.size(), 3}, &content.rows.segments.data()->document);
  write_numbers("row_offsets", {content.rows.offsets.size()}, content.rows.offsets.data());
  write_numbers("block_hashes", {content.block_hashes.size()}, content.block_hashes.data());
  if (!content.supervised.empty()) {
    write_array(file,
                {"supervised",
                 H5T_STD_U8LE,
                 H5T_NATIVE_UINT8,
                 {content.supervised.size()},
                 content.supervised.data()},
                path);
  }
  file.close(path + ": cannot be written");
  return offset;
}

}  // namespace lathe
