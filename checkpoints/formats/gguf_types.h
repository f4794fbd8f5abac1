#pragma once
// ggml's element types: blocks of values that share a scale. Sizes of those that Lathe writes and reads, and
// their conversions from and to floats. Q4_K, Q5_K, Q6_K: super-blocks of 256 whose scales are quantised
// themselves.
#include <cstddef>
#include <cstdint>
#include <span>

namespace lathe {

enum class GgmlType : std::uint32_t {
  F32 = 0,
  F16 = 1,
  Q5_0 = 6,
  Q5_1 = 7,
  Q8_0 = 8,
  Q4_K = 12,
  Q5_K = 13,
  Q6_K = 14,
  BF16 = 30
};

struct GgmlTypeInfo {
  const char* name;
  std::uint64_t block, bytes;  // values a block, bytes a block
};
// nullptr for a type that is not in the enum.
const GgmlTypeInfo* ggml_type_info(GgmlType type);
std::uint64_t ggml_bytes(GgmlType type, std::uint64_t elements);  // elements are whole blocks

// Values of whole blocks into ggml_bytes(type, values.size()) bytes, and back. Blocks go to several threads
// (0: all); the result does not depend on them. F32, F16 and BF16 are plain conversions.
void ggml_quantize(GgmlType type, std::span<const float> values, std::byte* out);
void ggml_dequantize(GgmlType type, const std::byte* blocks, std::span<float> values, int threads = 0);

}  // namespace lathe
