#pragma once
// Matrix tiles of Intel AMX for kernels compiled with AVX-512: 32 x 32 blocks of fp32 sums over bf16
// products. Assembly rather than intrinsics: compilers need no flag for it, and GCC 12's intrinsics do not
// tell it that memory is read.
//
// A is row-major bf16. B is "paired": row k / 2, column n holds the elements (k, n) and (k + 1, n) in one
// 32-bit word.
#include "models/ops/simd.h"

#if defined(__AVX512F__)
namespace lathe::kernels::LATHE_ISA {
namespace {

struct alignas(64) TileConfig {
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

// Tiles are configured while one lives.
class TileScope {
 public:
  TileScope() {
    const TileConfig config;
    asm volatile("ldtilecfg %0" : : "m"(config));
  }
  ~TileScope() { asm volatile("tilerelease"); }
};

template <int tile>
inline void tile_load(const void* from, std::int64_t stride) {
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(from), "r"(stride), "i"(tile) : "memory");
}
template <int tile>
inline void tile_store(void* to, std::int64_t stride) {
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(to), "r"(stride), "i"(tile) : "memory");
}
template <int tile>
inline void tile_clear() {
  asm volatile("tilezero %%tmm%c0" : : "i"(tile));
}
template <int sum, int a, int b>
inline void tile_multiply() {
  asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(sum), "i"(a), "i"(b));
}

constexpr std::int64_t kBlock = 32;  // edge of the blocks everything is padded to

// c (32 x 32), += when add, of a (32 x depth) and paired b (depth / 2 x 32); depth is a multiple of 32.
inline void multiply_block(const Bfloat* a, std::int64_t a_row, const std::uint32_t* b, std::int64_t b_row,
                           std::int64_t depth, float* c, std::int64_t c_row, bool add) {
  const std::int64_t a_bytes = a_row * 2, b_bytes = b_row * 4, c_bytes = c_row * 4;
  if (add) {
    tile_load<0>(c, c_bytes);
    tile_load<1>(c + 16, c_bytes);
    tile_load<2>(c + 16 * c_row, c_bytes);
    tile_load<3>(c + 16 * c_row + 16, c_bytes);
  } else {
    tile_clear<0>();
    tile_clear<1>();
    tile_clear<2>();
    tile_clear<3>();
  }
  for (std::int64_t k = 0; k < depth; k += 32) {
    const std::uint32_t* pairs = b + (k / 2) * b_row;
    tile_load<4>(a + k, a_bytes);
    tile_load<6>(pairs, b_bytes);
    tile_load<7>(pairs + 16, b_bytes);
    tile_multiply<0, 4, 6>();
    tile_load<5>(a + 16 * a_row + k, a_bytes);
    tile_multiply<1, 4, 7>();
    tile_multiply<2, 5, 6>();
    tile_multiply<3, 5, 7>();
  }
  tile_store<0>(c, c_bytes);
  tile_store<1>(c + 16, c_bytes);
  tile_store<2>(c + 16 * c_row, c_bytes);
  tile_store<3>(c + 16 * c_row + 16, c_bytes);
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

// The processor's own rounding to bf16 (every processor with AMX has it).
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
