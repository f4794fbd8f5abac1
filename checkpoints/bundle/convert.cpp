// Conversions between floating dtypes, round to nearest even. A signalling NaN becomes quiet, its payload's
// upper bits and its sign stay. F64 goes to the 16-bit types through a float rounded to odd, which makes the
// second rounding exact (Boldo and Melquiond, "When double rounding is odd", 2005).
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "checkpoints/bundle/half.h"
#include "checkpoints/bundle/tensor.h"
#include "recipes/schema/error.h"

namespace lathe {

namespace {

constexpr std::size_t kChunk = 2048;  // elements; both buffers stay in the first-level cache

float round_to_odd(double value) {
  const auto nearest = static_cast<float>(value);
  if (static_cast<double>(nearest) == value || std::isnan(value)) return nearest;
  // Toward zero first, then the last bit says that something was cut off.
  const bool overshot = std::isinf(nearest) || std::abs(static_cast<double>(nearest)) > std::abs(value);
  std::uint32_t bits = std::bit_cast<std::uint32_t>(nearest);
  if (overshot) --bits;
  return std::bit_cast<float>(bits | 1u);
}

template <DType kType>
struct Storage;
template <>
struct Storage<DType::F64> {
  using Type = double;
};
template <>
struct Storage<DType::F32> {
  using Type = float;
};
template <>
struct Storage<DType::F16> {
  using Type = std::uint16_t;
};
template <>
struct Storage<DType::BF16> {
  using Type = std::uint16_t;
};

template <DType kFrom, DType kTo>
typename Storage<kTo>::Type convert_value(typename Storage<kFrom>::Type value) {
  float single = 0;
  if constexpr (kFrom == DType::F64 && kTo == DType::F32)
    return static_cast<float>(value);
  else if constexpr (kFrom == DType::F64)
    single = round_to_odd(value);
  else if constexpr (kFrom == DType::F32)
    single = value;
  else if constexpr (kFrom == DType::F16)
    single = half_to_float(value);
  else
    single = bf16_to_float(value);
  if constexpr (kTo == DType::F64)
    return static_cast<double>(single);
  else if constexpr (kTo == DType::F32)
    return single;
  else if constexpr (kTo == DType::F16)
    return float_to_half(single);
  else
    return float_to_bf16(single);
}

// Sources may be unaligned, so elements pass through a small aligned buffer.
template <DType kFrom, DType kTo>
void convert_block(const std::byte* in, std::byte* out, std::size_t count) {
  std::array<typename Storage<kFrom>::Type, kChunk> from;
  std::array<typename Storage<kTo>::Type, kChunk> to;
  for (std::size_t at = 0; at < count; at += kChunk) {
    const std::size_t n = std::min(kChunk, count - at);
    std::memcpy(from.data(), in + at * sizeof(from[0]), n * sizeof(from[0]));
    for (std::size_t i = 0; i < n; ++i) to[i] = convert_value<kFrom, kTo>(from[i]);
    std::memcpy(out + at * sizeof(to[0]), to.data(), n * sizeof(to[0]));
  }
}

using Converter = void (*)(const std::byte*, std::byte*, std::size_t);

template <DType kFrom>
Converter converter_from(DType to) {
  switch (to) {
    case DType::F64:
      return convert_block<kFrom, DType::F64>;
    case DType::F32:
      return convert_block<kFrom, DType::F32>;
    case DType::F16:
      return convert_block<kFrom, DType::F16>;
    case DType::BF16:
      return convert_block<kFrom, DType::BF16>;
    default:
      return nullptr;
  }
}

Converter converter(DType from, DType to) {
  switch (from) {
    case DType::F64:
      return converter_from<DType::F64>(to);
    case DType::F32:
      return converter_from<DType::F32>(to);
    case DType::F16:
      return converter_from<DType::F16>(to);
    case DType::BF16:
      return converter_from<DType::BF16>(to);
    default:
      return nullptr;
  }
}

}  // namespace

BundleTensor convert_tensor(BundleTensor tensor, DType dtype) {
  if (tensor.dtype == dtype) return tensor;
  const Converter convert = converter(tensor.dtype, dtype);
  require(convert != nullptr, "tensor '", tensor.name, "': cannot be converted from ",
          dtype_name(tensor.dtype), " to ", dtype_name(dtype), "; only F64, F32, F16 and BF16 are");
  const std::size_t count = tensor.element_count(), size = count * dtype_size(dtype);
  tensor.bytes = [convert, count, size, source = std::move(tensor.bytes)] {
    const ByteBlock in = source();
    const std::shared_ptr<std::byte[]> out = std::make_shared_for_overwrite<std::byte[]>(size);
    convert(in.bytes.data(), out.get(), count);
    return ByteBlock{{out.get(), size}, out};
  };
  tensor.dtype = dtype;
  return tensor;
}

}  // namespace lathe
