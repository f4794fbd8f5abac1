#pragma once
// A named tensor without torch: dtype, shape and where its bytes are. Bytes are little-endian, row-major,
// contiguous.
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lathe {

enum class DType { F64, F32, F16, BF16, I64, I32, I16, I8, U8, Bool };

std::size_t dtype_size(DType dtype);
std::string_view dtype_name(DType dtype);                     // safetensors' names: F32, BF16 ...
std::optional<DType> dtype_from_name(std::string_view name);  // safetensors' and torch's ("bfloat16") names

std::string_view torch_dtype_name(DType dtype);  // config.json's: float32, bfloat16 ...

// A block of bytes and what keeps it alive (a mapping, a vector, a torch storage).
struct ByteBlock {
  std::span<const std::byte> bytes;
  std::shared_ptr<const void> owner;
};

struct BundleTensor {
  std::string name;
  DType dtype = DType::F32;
  std::vector<std::int64_t> shape;
  std::function<ByteBlock()> bytes;  // called when the tensor is read or written; may convert; thread-safe
  std::size_t element_count() const;
  std::size_t byte_size() const { return element_count() * dtype_size(dtype); }
};

// The same values in another floating dtype (round to nearest even), made when read. F32, F16, BF16, F64.
BundleTensor convert_tensor(BundleTensor tensor, DType dtype);
// A tensor over bytes in memory; Error when their number does not fit the shape.
BundleTensor memory_tensor(std::string name, DType dtype, std::vector<std::int64_t> shape, ByteBlock block);
std::string shape_text(const std::vector<std::int64_t>& shape);  // "(512, 64)"

}  // namespace lathe
