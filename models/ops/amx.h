#pragma once
// multiply_block of blocks.h on the matrix tiles of Intel AMX. Assembly rather than intrinsics: compilers
// need no flag for it, and GCC 12's intrinsics do not tell it that memory is read.
#include "models/ops/simd.h"

namespace lathe::kernels::LATHE_ISA {
namespace {

struct alignas(64) TileConfig {
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

// Tiles are configured while one lives.
class BlockScope {
 public:
  BlockScope() {
    const TileConfig config;
    asm volatile("ldtilecfg %0" : : "m"(config));
  }
  ~BlockScope() { asm volatile("tilerelease"); }
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

constexpr std::int64_t kDepthStep = 32;  // depths are multiples of it

// c (32 x 32), += when add, of a (32 x depth) and paired b (depth / 2 x 32): whole, how much of it is wanted
// saves nothing here.
inline void multiply_block(const Bfloat* a, std::int64_t a_row, const std::uint32_t* b, std::int64_t b_row,
                           std::int64_t depth, float* c, std::int64_t c_row, bool add,
                           std::int64_t /*rows*/ = 32, std::int64_t /*columns*/ = 32) {
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

}  // namespace
}  // namespace lathe::kernels::LATHE_ISA
