#pragma once
// multiply_block of blocks.h by AVX512_BF16's dot products of pairs, for processors that have no tiles: 16
// sums of 16 floats in registers, 8 rows by 32 columns or 16 rows by 16.
#include "models/ops/simd.h"

namespace lathe::kernels::LATHE_ISA {
namespace {

constexpr std::int64_t kDepthStep = 2;  // depths are multiples of it

class BlockScope {  // nothing to set up
 public:
  BlockScope() {}
};

// kRows rows of the block by 16 kVectors columns.
template <int kRows, int kVectors>
inline void multiply_rows(const Bfloat* a, std::int64_t a_row, const std::uint32_t* b, std::int64_t b_row,
                          std::int64_t depth, float* c, std::int64_t c_row, bool add) {
  __m512 sums[kRows][kVectors];
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kVectors; ++v)
      sums[r][v] = add ? _mm512_loadu_ps(c + r * c_row + v * 16) : _mm512_setzero_ps();
  for (std::int64_t k = 0; k < depth; k += 2, b += b_row) {
    __m512bh pairs[kVectors];
    for (int v = 0; v < kVectors; ++v) pairs[v] = reinterpret_cast<__m512bh>(_mm512_loadu_si512(b + v * 16));
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      int words;
      std::memcpy(&words, a + r * a_row + k, sizeof words);
      const auto both = reinterpret_cast<__m512bh>(_mm512_set1_epi32(words));
      for (int v = 0; v < kVectors; ++v) sums[r][v] = _mm512_dpbf16_ps(sums[r][v], both, pairs[v]);
    }
  }
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kVectors; ++v) _mm512_storeu_ps(c + r * c_row + v * 16, sums[r][v]);
}

// c (32 x 32), += when add, of a (32 x depth) and paired b (depth / 2 x 32). Where fewer than 32 rows or
// columns are wanted, the rest is left undefined.
inline void multiply_block(const Bfloat* a, std::int64_t a_row, const std::uint32_t* b, std::int64_t b_row,
                           std::int64_t depth, float* c, std::int64_t c_row, bool add, std::int64_t rows = 32,
                           std::int64_t columns = 32) {
  const std::int64_t end = rows < 32 ? rows : 32;
  if (columns <= 16) {
    for (std::int64_t r = 0; r < end; r += 16)
      multiply_rows<16, 1>(a + r * a_row, a_row, b, b_row, depth, c + r * c_row, c_row, add);
    return;
  }
  for (std::int64_t r = 0; r < end; r += 8)
    multiply_rows<8, 2>(a + r * a_row, a_row, b, b_row, depth, c + r * c_row, c_row, add);
}

}  // namespace
}  // namespace lathe::kernels::LATHE_ISA
