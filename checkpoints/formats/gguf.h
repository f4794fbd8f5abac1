#pragma once
// GGUF version 3 (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md): typed metadata, then tensors in
// blocks of ggml's types. The reader maps the file, takes versions 2 and 3 (little-endian) and checks every
// length before it is used; the writer streams tensor by tensor and syncs. Shapes here are row-major (rows
// first); the file stores them the other way round.
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "checkpoints/bundle/tensor.h"
#include "checkpoints/formats/gguf_types.h"
#include "data/io/file_system.h"
#include "data/io/json.h"

namespace lathe {

// The file's own numbers.
enum class GgufKind : std::uint32_t { U8, I8, U16, I16, U32, I32, F32, Bool, String, Array, U64, I64, F64 };
const char* gguf_kind_name(GgufKind kind);

struct GgufValue {
  GgufKind kind = GgufKind::U32;
  Json value;                        // an array's elements as a list; strings are bytes, UTF-8 is not checked
  GgufKind element = GgufKind::U32;  // of an array

  static GgufValue u32(std::uint64_t x) { return {GgufKind::U32, x}; }
  static GgufValue f32(double x) { return {GgufKind::F32, static_cast<float>(x)}; }
  static GgufValue boolean(bool x) { return {GgufKind::Bool, x}; }
  static GgufValue string(std::string x) { return {GgufKind::String, Json(std::move(x))}; }
  static GgufValue array(GgufKind element, Json list) { return {GgufKind::Array, std::move(list), element}; }
};

using GgufMetadata = std::vector<std::pair<std::string, GgufValue>>;  // in file order, keys once
const GgufValue* find_gguf(const GgufMetadata& metadata, const std::string& key);

// A tensor as it is stored: whole blocks of `type` along the last dimension.
struct GgufTensor {
  std::string name;
  GgmlType type = GgmlType::F32;
  std::vector<std::int64_t> shape;
  std::function<ByteBlock()> bytes;  // called when written or read; thread-safe
  std::uint64_t element_count() const;
  std::uint64_t byte_size() const { return ggml_bytes(type, element_count()); }
};

struct GgufFile {
  std::uint32_t version = 3;
  std::uint64_t alignment = 32;
  GgufMetadata metadata;
  std::vector<GgufTensor> tensors;  // in file order; bytes lie in the mapping
};

// Error "path: ..." for everything that is not a whole file of the format.
GgufFile read_gguf(const std::string& path);

// Writes version 3 with an alignment of 32; returns the file's SHA-256. A tensor's bytes are asked for once,
// in order.
std::string write_gguf(const std::string& path, const GgufMetadata& metadata,
                       const std::vector<GgufTensor>& tensors, FileSystem& fs = real_file_system());

// The tensor as floats (F32, or F16 and BF16 as they are): what a bundle holds. Blocks are widened when read,
// matrices by rows too (block_rows.h).
BundleTensor widen_gguf(const GgufTensor& tensor);

}  // namespace lathe
