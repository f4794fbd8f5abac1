#pragma once
// 32 x 32 blocks of fp32 sums over bf16 products for kernels compiled with AVX-512: multiply_block on AMX's
// tiles or, in the set avx512_bf16, on dot products, and what lays operands out for it.
//
// A is row-major bf16. B is "paired": row k / 2, column n holds the elements (k, n) and (k + 1, n) in one
// 32-bit word. A kernel that multiplies blocks keeps a BlockScope meanwhile.
#include "models/ops/simd.h"

#if defined(__AVX512F__)
#if defined(__AVX512BF16__)
#include "models/ops/dot_products.h"
#else
#include "models/ops/amx.h"
#endif

namespace lathe::kernels::LATHE_ISA {
namespace {

constexpr std::int64_t kBlock = 32;  // edge of the blocks everything is padded to

// What is multiplied of a depth that is padded to blocks and has `real` elements.
constexpr std::int64_t multiplied_depth(std::int64_t real) {
  return (real + kDepthStep - 1) / kDepthStep * kDepthStep;
}

// A 32 x 32 block of a bf16 matrix, where it lies or, at the matrix's edge, copied with zeros around.
struct BlockView {
  const Bfloat* from;
  std::int64_t row;
};
inline BlockView block_view(const void* matrix, std::int64_t row, std::int64_t rows, std::int64_t columns,
                            Bfloat copy[1024]) {
  const auto* from = static_cast<const Bfloat*>(matrix);
  if (rows >= 32 && columns >= 32) return {from, row};
  std::memset(copy, 0, 1024 * sizeof(Bfloat));
  for (std::int64_t r = 0; r < rows && r < 32; ++r)
    std::memcpy(copy + r * 32, from + r * row,
                static_cast<std::size_t>(columns < 32 ? columns : 32) * sizeof(Bfloat));
  return {copy, 32};
}

// The processor's own rounding to bf16 (every processor with AMX or AVX512_BF16 has it).
inline Halves round_bfloat(Floats x) {
  Halves result;
  asm("vcvtneps2bf16 %1, %0" : "=v"(result) : "v"(x));
  return result;
}
inline void store_bfloat(Bfloat* to, Floats x) {
  const Halves bits = round_bfloat(x);
  std::memcpy(to, &bits, sizeof bits);
}
// 2^x to 3e-6: Taylor in the distance to the nearest integer. Far below zero it is 0.
inline Floats power_of_two(Floats x) {
  const Floats n = reinterpret_cast<Floats>(_mm512_roundscale_ps(x, 0));
  const Floats r = x - n;
  Floats p = splat(1.3333558e-3F);
  p = fma(p, r, splat(9.6181291e-3F));
  p = fma(p, r, splat(5.5504109e-2F));
  p = fma(p, r, splat(2.4022651e-1F));
  p = fma(p, r, splat(6.9314718e-1F));
  p = fma(p, r, splat(1.0F));
  return reinterpret_cast<Floats>(_mm512_scalef_ps(p, n));
}
// Words of (low, high) as paired B wants them.
inline Words pair(Halves low, Halves high) {
  return __builtin_convertvector(low, Words) | (__builtin_convertvector(high, Words) << 16);
}

// A 32 x 32 block of B as multiply_block wants it, paired: 16 rows of 32 words.
inline void pack_block(BlockView view, std::uint32_t* to) {
  for (std::int64_t r = 0; r < 32; r += 2) {
    for (std::int64_t half = 0; half < 32; half += 16) {
      Halves low, high;
      std::memcpy(&low, view.from + r * view.row + half, sizeof low);
      std::memcpy(&high, view.from + (r + 1) * view.row + half, sizeof high);
      const Words words = pair(low, high);
      std::memcpy(to + r * 16 + half, &words, sizeof words);
    }
  }
}

// 16 x 16 words, rows to columns.
inline void transpose_words(const std::uint32_t* from, std::int64_t from_row, std::uint32_t* to,
                            std::int64_t to_row) {
  __m512i r[16], t[16];
  for (int i = 0; i < 16; ++i) r[i] = _mm512_loadu_si512(from + i * from_row);
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {  // r[i + c]: column c of each 4 x 4 block of rows i to i + 3
    r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  for (int c = 0; c < 4; ++c) {
    const __m512i low01 = _mm512_shuffle_i32x4(r[c], r[c + 4], 0x88),
                  low23 = _mm512_shuffle_i32x4(r[c + 8], r[c + 12], 0x88);
    const __m512i high01 = _mm512_shuffle_i32x4(r[c], r[c + 4], 0xdd),
                  high23 = _mm512_shuffle_i32x4(r[c + 8], r[c + 12], 0xdd);
    _mm512_storeu_si512(to + c * to_row, _mm512_shuffle_i32x4(low01, low23, 0x88));
    _mm512_storeu_si512(to + (c + 8) * to_row, _mm512_shuffle_i32x4(low01, low23, 0xdd));
    _mm512_storeu_si512(to + (c + 4) * to_row, _mm512_shuffle_i32x4(high01, high23, 0x88));
    _mm512_storeu_si512(to + (c + 12) * to_row, _mm512_shuffle_i32x4(high01, high23, 0xdd));
  }
}

// rows x columns words to columns x rows; multiples of 16.
inline void transpose_matrix(const std::uint32_t* from, std::int64_t from_row, std::int64_t rows,
                             std::int64_t columns, std::uint32_t* to, std::int64_t to_row) {
  for (std::int64_t i = 0; i < rows; i += 16)
    for (std::int64_t j = 0; j < columns; j += 16)
      transpose_words(from + i * from_row + j, from_row, to + j * to_row + i, to_row);
}

// bf16 rows x columns to paired rows / 2 x columns; columns a multiple of 16, rows even.
inline void pair_rows(const Bfloat* from, std::int64_t rows, std::int64_t columns, std::uint32_t* to) {
  for (std::int64_t r = 0; r < rows; r += 2) {
    const Bfloat* low = from + r * columns;
    for (std::int64_t c = 0; c < columns; c += 16) {
      Halves first, second;
      std::memcpy(&first, low + c, sizeof first);
      std::memcpy(&second, low + columns + c, sizeof second);
      const Words words = pair(first, second);
      std::memcpy(to + (r / 2) * columns + c, &words, sizeof words);
    }
  }
}

}  // namespace
}  // namespace lathe::kernels::LATHE_ISA
#endif
