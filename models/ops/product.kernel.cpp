// a^T b of two tall bf16 matrices in 32 x 32 blocks with fp32 sums: a weight's gradient. Library products are
// slow when the inner dimension is the rows of both, so a is turned block by block on the way.
#include "models/ops/blocks.h"
#include "models/ops/kernels.h"

namespace lathe::kernels::LATHE_ISA {
namespace {

#if defined(__AVX512F__)

constexpr std::int64_t kDepth = 512;              // rows of a turned at a time
constexpr std::int64_t kTurnedRow = kDepth + 32;  // not a power of two: rows would share cache sets

// b (rows, columns) into panels of 32 columns, each (padded rows / 2) x 32 words; blocks of 32 rows.
void pack_panels(const TransposedProduct& p, std::int64_t begin, std::int64_t end) {
  const auto* b = static_cast<const Bfloat*>(p.b);
  const std::int64_t panel_size = (p.rows + 31) / 32 * 16 * 32;
  Bfloat copy[1024];
  for (std::int64_t k = begin * 32; k < end * 32; k += 32) {
    for (std::int64_t c = 0; c < p.b_columns; c += 32) {
      const BlockView view = block_view(b + k * p.b_row + c, p.b_row, p.rows - k, p.b_columns - c, copy);
      pack_block(view, p.panels + c / 32 * panel_size + k / 2 * 32);
    }
  }
}

// A 32 x 32 block, transposed. Interleaving two rows leaves columns 0 to 3, 8 to 11, 16 to 19, 24 to 27 in
// one vector and the others in the second; the transposed rows go to where they belong.
void turn_square(BlockView view, Bfloat* to) {
  alignas(64) std::uint32_t words[2][16 * 16];
  for (std::int64_t r = 0; r < 32; r += 2) {
    const Bfloat* from = view.from + r * view.row;
    const __m512i low = _mm512_loadu_si512(from), high = _mm512_loadu_si512(from + view.row);
    __builtin_prefetch(from + 64);
    __builtin_prefetch(from + view.row + 64);
    _mm512_store_si512(words[0] + r * 8, _mm512_unpacklo_epi16(low, high));
    _mm512_store_si512(words[1] + r * 8, _mm512_unpackhi_epi16(low, high));
  }
  alignas(64) std::uint32_t turned[16 * 16];
  for (std::int64_t part = 0; part < 2; ++part) {
    transpose_words(words[part], 16, turned, 16);
    for (std::int64_t i = 0; i < 16; ++i)
      std::memcpy(to + (i / 4 * 8 + part * 4 + i % 4) * kTurnedRow, turned + i * 16, 64);
  }
}

// Columns [column, column + 32) of rows [first, first + depth) of a as 32 rows of bf16.
void turn_block(const TransposedProduct& p, std::int64_t column, std::int64_t first, std::int64_t depth,
                Bfloat* to) {
  const auto* a = static_cast<const Bfloat*>(p.a);
  Bfloat copy[1024];
  for (std::int64_t k = 0; k < depth; k += 32) {
    const std::int64_t row = first + k;
    turn_square(block_view(a + row * p.a_row + column, p.a_row, p.rows - row, p.a_columns - column, copy),
                to + k);
  }
}

// The sums of one 32-column block of a: a row of 32 x 32 tiles into columns [first, last) of the result.
void store_tiles(const TransposedProduct& p, std::int64_t column, std::int64_t first, std::int64_t last,
                 const float* tiles) {
  for (std::int64_t r = 0; r < 32 && column + r < p.a_columns; ++r) {
    float* to = p.sum + (column + r) * p.b_columns;
    for (std::int64_t c = first; c < last && c < p.b_columns; c += 32) {
      const float* from = tiles + (c - first) * 32 + r * 32;
      const std::int64_t count = p.b_columns - c < 32 ? p.b_columns - c : 32;
      each_vector(count, [&](std::int64_t i, auto width) {
        const Floats value = load(from + i, width);
        store(to + c + i, p.add ? load(to + c + i, width) + value : value, width);
      });
    }
  }
}

// The panels of one depth stay in the cache for all blocks of the part.
void transposed_product(const TransposedProduct& p, const TransposedPart& part, void* memory) {
  const BlockScope scope;
  const std::int64_t padded_rows = (p.rows + 31) / 32 * 32, panels = part.panels;
  auto* turned = static_cast<Bfloat*>(memory);
  auto* tiles = reinterpret_cast<float*>(turned + 32 * kTurnedRow);
  for (std::int64_t k = 0; k < padded_rows; k += kDepth) {
    const std::int64_t depth = padded_rows - k < kDepth ? padded_rows - k : kDepth;
    const std::int64_t used = multiplied_depth(p.rows - k < depth ? p.rows - k : depth);
    for (std::int64_t i = 0; i < part.blocks; ++i) {
      const std::int64_t column = (part.block + i) * 32;
      turn_block(p, column, k, depth, turned);
      for (std::int64_t j = 0; j < panels; ++j) {
        const std::int64_t panel = part.panel + j;
        multiply_block(turned, kTurnedRow, p.panels + panel * (padded_rows / 2 * 32) + k / 2 * 32, 32, used,
                       tiles + (i * panels + j) * 1024, 32, k > 0, p.a_columns - column,
                       p.b_columns - panel * 32);
      }
    }
  }
  for (std::int64_t i = 0; i < part.blocks; ++i)
    store_tiles(p, (part.block + i) * 32, part.panel * 32, (part.panel + panels) * 32,
                tiles + i * panels * 1024);
}

std::int64_t transposed_product_memory(std::int64_t blocks, std::int64_t panels) {
  return 32 * kTurnedRow * 2 + blocks * panels * 1024 * 4;
}

#endif

}  // namespace

void add_product_kernels(OpKernels& table) {
#if defined(__AVX512F__)
  table.pack_panels = pack_panels;
  table.transposed_product = transposed_product;
  table.transposed_product_memory = transposed_product_memory;
#else
  (void)table;
#endif
}

}  // namespace lathe::kernels::LATHE_ISA
