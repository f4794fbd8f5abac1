#include "checkpoints/bundle/tensor.h"

#include <bit>
#include <cmath>
#include <limits>

#include "tests/unit/checkpoints/support.h"

namespace lathe {
namespace {

using Bits = std::uint16_t;

// IEEE 754's definition of a value by its fields, in double: independent of any shifting of bits.
double value_of(Bits bits, int exponent_bits, int mantissa_bits) {
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const int exponent = (bits >> mantissa_bits) & ((1 << exponent_bits) - 1),
            mantissa = bits & ((1 << mantissa_bits) - 1);
  const double sign = bits & 0x8000 ? -1.0 : 1.0, unit = std::ldexp(1.0, -mantissa_bits);
  if (exponent == (1 << exponent_bits) - 1)
    return mantissa ? std::numeric_limits<double>::quiet_NaN()
                    : sign * std::numeric_limits<double>::infinity();
  if (exponent == 0) return sign * std::ldexp(mantissa * unit, 1 - bias);
  return sign * std::ldexp(1.0 + mantissa * unit, exponent - bias);
}

struct Format {
  DType dtype;
  int exponent_bits, mantissa_bits;
  Bits infinity() const { return static_cast<Bits>(((1 << exponent_bits) - 1) << mantissa_bits); }
  double value(Bits bits) const { return value_of(bits, exponent_bits, mantissa_bits); }
};
const Format kHalf{DType::F16, 5, 10}, kBrain{DType::BF16, 8, 7};

template <class T>
BundleTensor vector_tensor(DType dtype, const std::vector<T>& values) {
  return memory_tensor("x", dtype, {static_cast<std::int64_t>(values.size())}, block_of(values));
}
template <class To, class From>
std::vector<To> converted(DType from, const std::vector<From>& values, DType to) {
  return values_of<To>(convert_tensor(vector_tensor(from, values), to));
}

std::vector<Bits> all_bits() {
  std::vector<Bits> bits(65536);
  for (std::size_t i = 0; i < bits.size(); ++i) bits[i] = static_cast<Bits>(i);
  return bits;
}

TEST_CASE("every 16-bit value widens to the value its fields define, and back to itself") {
  for (const Format& format : {kHalf, kBrain}) {
    const auto bits = all_bits();
    const auto wide = converted<float>(format.dtype, bits, DType::F32);
    const auto doubles = converted<double>(format.dtype, bits, DType::F64);
    const auto back = converted<Bits>(DType::F32, wide, format.dtype);
    const auto back_from_double = converted<Bits>(DType::F64, doubles, format.dtype);
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < bits.size(); ++i) {
      const double wanted = format.value(bits[i]);
      if (std::isnan(wanted)) {
        const Bits quiet = static_cast<Bits>(bits[i] | (1 << (format.mantissa_bits - 1)));
        wrong += !std::isnan(wide[i]) || !std::isnan(doubles[i]) || back[i] != quiet ||
                 back_from_double[i] != quiet;
      } else {
        wrong += static_cast<double>(wide[i]) != wanted || std::signbit(wide[i]) != std::signbit(wanted) ||
                 doubles[i] != wanted || back[i] != bits[i] || back_from_double[i] != bits[i];
      }
    }
    CHECK(wrong == 0);
  }
}

// Between neighbours a < b the middle goes to the even one, anything nearer to one goes there. The middle is
// exact in double, and its neighbours differ from it far below float's precision: double rounding would show.
TEST_CASE("narrowing rounds to nearest, ties to even, from float and from double") {
  for (const Format& format : {kHalf, kBrain}) {
    std::size_t wrong = 0;
    for (Bits low = 0; low < format.infinity(); ++low) {
      const Bits high = static_cast<Bits>(low + 1);
      const double a = format.value(low);
      const double b =
          high == format.infinity() ? 2 * a - format.value(static_cast<Bits>(low - 1)) : format.value(high);
      const double middle = (a + b) / 2;
      const Bits even = low % 2 == 0 ? low : high;
      const std::vector<double> probes{std::nextafter(middle, 0.0), middle, std::nextafter(middle, b),
                                       -middle};
      const auto got = converted<Bits>(DType::F64, probes, format.dtype);
      const Bits sign = 0x8000;
      wrong += got != std::vector<Bits>{low, even, high, static_cast<Bits>(even | sign)};
      const auto single = static_cast<float>(middle);
      if (static_cast<double>(single) != middle) continue;  // below float's smallest subnormal
      const std::vector<float> near{std::nextafter(single, 0.0f), single, std::nextafter(single, INFINITY),
                                    -single};
      wrong += converted<Bits>(DType::F32, near, format.dtype) !=
               std::vector<Bits>{low, even, high, static_cast<Bits>(even | sign)};
      if (low > 2000 && low % 16 != 0 && low < format.infinity() - 2000) low = static_cast<Bits>(low + 6);
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("known values of other sources") {
  // 1/3, pi, the largest half and what overflows it, the smallest subnormal half and half of it.
  CHECK(converted<Bits>(
            DType::F32,
            std::vector<float>{1.f / 3, 3.14159265f, 65504.f, 65519.996f, 65520.f, 0x1p-24f, 0x1p-25f},
            DType::F16) == std::vector<Bits>{0x3555, 0x4248, 0x7bff, 0x7bff, 0x7c00, 0x0001, 0x0000});
  CHECK(converted<Bits>(DType::F32, std::vector<float>{1.f / 3, 3.14159265f, 3.38953139e38f, 3.4e38f},
                        DType::BF16) == std::vector<Bits>{0x3eab, 0x4049, 0x7f7f, 0x7f80});
  CHECK(converted<Bits>(DType::F64, std::vector<double>{1e300, -1e300, 1e-300, -1e-300}, DType::BF16) ==
        std::vector<Bits>{0x7f80, 0xff80, 0x0000, 0x8000});
  const float nan = std::bit_cast<float>(0xff812345u);  // negative and signalling
  CHECK(converted<Bits>(DType::F32, std::vector<float>{nan}, DType::BF16) == std::vector<Bits>{0xffc1});
  CHECK(converted<Bits>(DType::F32, std::vector<float>{nan}, DType::F16) == std::vector<Bits>{0xfe09});
}

TEST_CASE("a conversion happens when it is read, once a read, from unaligned bytes too") {
  int reads = 0;
  const std::string raw = std::string(1, 'x') + std::string("\0\0\x80\x3f\0\0\0\xc0", 8);
  BundleTensor tensor{"x", DType::F32, {2}, [&] {
                        ++reads;
                        return ByteBlock{std::as_bytes(std::span(raw)).subspan(1), nullptr};
                      }};
  const BundleTensor half = convert_tensor(tensor, DType::F16);
  CHECK(reads == 0);
  CHECK(half.dtype == DType::F16);
  CHECK(half.byte_size() == 4);
  CHECK(values_of<Bits>(half) == std::vector<Bits>{0x3c00, 0xc000});
  CHECK(reads == 1);
}

TEST_CASE("more elements than a chunk, the last one partial") {
  std::vector<float> values(5001);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 256);
  const auto out = converted<Bits>(DType::F32, values, DType::BF16);
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < values.size(); ++i)
    wrong += value_of(out[i], 8, 7) != static_cast<double>(values[i]);
  CHECK(wrong == 0);
}

TEST_CASE("dtypes have safetensors' names and sizes, and are found by torch's") {
  CHECK(dtype_name(DType::BF16) == "BF16");
  CHECK(dtype_name(DType::Bool) == "BOOL");
  CHECK(dtype_size(DType::F64) == 8);
  CHECK(dtype_size(DType::I16) == 2);
  CHECK(dtype_size(DType::Bool) == 1);
  CHECK(dtype_from_name("bfloat16") == DType::BF16);
  CHECK(dtype_from_name("float32") == DType::F32);
  CHECK(dtype_from_name("F16") == DType::F16);
  CHECK(dtype_from_name("bf16") == DType::BF16);
  CHECK_FALSE(dtype_from_name("F8_E4M3"));
  CHECK(torch_dtype_name(DType::F16) == "float16");
  for (const DType d : {DType::F64, DType::F32, DType::F16, DType::BF16, DType::I64, DType::I32, DType::I16,
                        DType::I8, DType::U8, DType::Bool}) {
    CHECK(dtype_from_name(dtype_name(d)) == d);
    CHECK(dtype_from_name(torch_dtype_name(d)) == d);
  }
}

TEST_CASE("what cannot be converted or does not fit is refused by name") {
  const BundleTensor ids = vector_tensor(DType::I64, std::vector<std::int64_t>{1, 2});
  CHECK(error_of([&] { convert_tensor(ids, DType::F32); }).find("I64 to F32") != std::string::npos);
  const std::string text = error_of([] {
    memory_tensor("w", DType::F32, {2, 3}, block_of(std::vector<float>(5)));
  });
  CHECK(text == "tensor 'w': F32 (2, 3) needs 24 bytes, 20 were given");
}

}  // namespace
}  // namespace lathe
