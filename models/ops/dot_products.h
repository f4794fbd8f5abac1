#pragma once
// multiply_block of blocks.h by AVX512_BF16's dot products of pairs, for processors that have no tiles: 16
// sums of 16 floats in registers, 8 rows by 32 columns.
#include "models/ops/simd.h"

namespace lathe::kernels::LATHE_ISA {
namespace {

class BlockScope {  // nothing to set up
 public:
  BlockScope() {}
};

// 8 rows of the block.
inline void multiply_rows(const Bfloat* a, std::int64_t a_row, const std::uint32_t* b, std::int64_t b_row,
                          std::int64_t depth, float* c, std::int64_t c_row, bool add) {
  constexpr int kRows = 8;
  __m512 sums[kRows][2];
  for (int r = 0; r < kRows; ++r)
    for (int half = 0; half < 2; ++half)
      sums[r][half] = add ? _mm512_loadu_ps(c + r * c_row + half * 16) : _mm512_setzero_ps();
  for (std::int64_t k = 0; k < depth; k += 2, b += b_row) {
    const auto left = reinterpret_cast<__m512bh>(_mm512_loadu_si512(b)),
               right = reinterpret_cast<__m512bh>(_mm512_loadu_si512(b + 16));
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      int words;
      std::memcpy(&words, a + r * a_row + k, sizeof words);
      const auto both = reinterpret_cast<__m512bh>(_mm512_set1_epi32(words));
      sums[r][0] = _mm512_dpbf16_ps(sums[r][0], both, left);
      sums[r][1] = _mm512_dpbf16_ps(sums[r][1], both, right);
    }
  }
  for (int r = 0; r < kRows; ++r)
    for (int half = 0; half < 2; ++half) _mm512_storeu_ps(c + r * c_row + half * 16, sums[r][half]);
}

// c (32 x 32), += when add, of a (32 x depth) and paired b (depth / 2 x 32); depth is even.
inline void multiply_block(const Bfloat* a, std::int64_t a_row, const std::uint32_t* b, std::int64_t b_row,
                           std::int64_t depth, float* c, std::int64_t c_row, bool add) {
  for (int r = 0; r < 32; r += 8)
    multiply_rows(a + r * a_row, a_row, b, b_row, depth, c + r * c_row, c_row, add);
}

}  // namespace
}  // namespace lathe::kernels::LATHE_ISA
