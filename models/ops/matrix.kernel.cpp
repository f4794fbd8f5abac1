// a b of bf16 matrices in 32 x 32 blocks with fp32 sums, rounded once: the products of linear layers, forward
// and backward. A strip of b is packed for each task and stays in the second-level cache while the rows of a
// pass by. Unlike the library's products no code is generated for a shape, so batches of any number of tokens
// cost neither time nor memory to prepare.
#include "models/ops/blocks.h"
#include "models/ops/kernels.h"

namespace lathe::kernels::LATHE_ISA {
namespace {

#if defined(__AVX512F__)

constexpr std::int64_t kDepth = 4096;  // of a slice; deeper products add their slices in fp32

std::int64_t padded(std::int64_t count) { return (count + 31) / 32 * 32; }

// A block that lies turned, 32 columns of 32 deep, as 16 rows of 32 words.
void pack_turned(BlockView view, std::uint32_t* to) {
  alignas(64) Bfloat copy[1024];
  if (view.row % 2 != 0) {  // rows of whole words are wanted
    for (std::int64_t r = 0; r < 32; ++r) std::memcpy(copy + r * 32, view.from + r * view.row, 64);
    view = {copy, 32};
  }
  const auto* words = reinterpret_cast<const std::uint32_t*>(view.from);
  transpose_words(words, view.row / 2, to, 32);
  transpose_words(words + 8 * view.row, view.row / 2, to + 16, 32);
}

// Panels of 32 columns, each depth / 2 rows of 32 words, of the part's columns.
void pack_strip(const Factors& f, std::int64_t columns, const ProductPart& part, std::int64_t first,
                std::int64_t depth, std::uint32_t* to) {
  const auto* b = static_cast<const Bfloat*>(f.b);
  alignas(64) Bfloat copy[1024];
  for (std::int64_t c = part.column; c < part.column + part.columns; c += 32) {
    for (std::int64_t k = first; k < first + depth; k += 32, to += 16 * 32) {
      if (f.b_turned)
        pack_turned(block_view(b + c * f.b_row + k, f.b_row, columns - c, f.depth - k, copy), to);
      else
        pack_block(block_view(b + k * f.b_row + c, f.b_row, f.depth - k, columns - c, copy), to);
    }
  }
}

// 32 rows of a slice of a: where they lie, or copied where they end early or would share few cache sets.
BlockView rows_of(const Factors& f, std::int64_t row, std::int64_t all_rows, std::int64_t first,
                  std::int64_t depth, Bfloat* copy) {
  const Bfloat* from = static_cast<const Bfloat*>(f.a) + row * f.a_row + first;
  const std::int64_t rows = all_rows - row < 32 ? all_rows - row : 32,
                     real = f.depth - first < depth ? f.depth - first : depth;
  if (rows == 32 && real == depth && f.a_row % 512 != 0) return {from, f.a_row};
  const std::int64_t copy_row = depth + 32;
  for (std::int64_t r = 0; r < 32; ++r) {
    const std::int64_t count = r < rows ? real : 0;
    std::memcpy(copy + r * copy_row, from + r * f.a_row, static_cast<std::size_t>(count) * sizeof(Bfloat));
    std::memset(copy + r * copy_row + count, 0, static_cast<std::size_t>(depth - count) * sizeof(Bfloat));
  }
  return {copy, copy_row};
}

void store_block(const Product& p, std::int64_t row, std::int64_t column, const float* sums) {
  const std::int64_t rows = p.rows - row < 32 ? p.rows - row : 32,
                     columns = p.columns - column < 32 ? p.columns - column : 32;
  const Floats scale = splat(p.scale);
  for (std::int64_t r = 0; r < rows; ++r, sums += 32) {
    auto* out = static_cast<Bfloat*>(p.out) + (row + r) * p.out_row + column;
    const auto* addend =
        p.addend ? static_cast<const Bfloat*>(p.addend) + (row + r) * p.addend_row + column : nullptr;
    for (std::int64_t c = 0; c < columns; c += 16) {
      Floats value;
      std::memcpy(&value, sums + c, sizeof value);
      if (columns - c >= 16) {
        store_bfloat(out + c, addend ? fma(value, scale, load(addend + c, Full{})) : value * scale);
        continue;
      }
      const Part tail{static_cast<int>(columns - c)};
      store(out + c, addend ? fma(value, scale, load(addend + c, tail)) : value * scale, tail);
    }
  }
}

// Rows [row, row + rows) by columns [column, column + columns).
void product(const Product& p, const ProductPart& part, void* memory) {
  const BlockScope scope;
  const std::int64_t whole = padded(p.main.depth), slice = whole < kDepth ? whole : kDepth,
                     narrow = padded(p.more.depth), panels = part.columns / 32;
  auto* strip = static_cast<std::uint32_t*>(memory);
  auto* more_strip = strip + slice / 2 * part.columns;
  auto* copy = reinterpret_cast<Bfloat*>(more_strip + narrow / 2 * part.columns);
  auto* more_copy = copy + 32 * (slice + 32);
  auto* sums = reinterpret_cast<float*>(more_copy + 32 * (narrow + 32));
  if (narrow > 0) pack_strip(p.more, p.columns, part, 0, narrow, more_strip);
  const std::int64_t more_used = multiplied_depth(p.more.depth);
  for (std::int64_t first = 0; first < whole; first += slice) {
    const std::int64_t depth = whole - first < slice ? whole - first : slice;
    const std::int64_t used = multiplied_depth(p.main.depth - first < depth ? p.main.depth - first : depth);
    const bool last = first + depth == whole;
    pack_strip(p.main, p.columns, part, first, depth, strip);
    for (std::int64_t row = part.row; row < part.row + part.rows; row += 32) {
      const BlockView a = rows_of(p.main, row, p.rows, first, used, copy);
      BlockView more{};
      if (last && narrow > 0) more = rows_of(p.more, row, p.rows, 0, more_used, more_copy);
      for (std::int64_t panel = 0; panel < panels; ++panel) {
        float* block = whole == slice ? sums : sums + ((row - part.row) / 32 * panels + panel) * 1024;
        const std::int64_t rows = p.rows - row, columns = p.columns - part.column - panel * 32;
        multiply_block(a.from, a.row, strip + panel * (depth / 2 * 32), 32, used, block, 32, first > 0, rows,
                       columns);
        if (!last) continue;
        if (narrow > 0)
          multiply_block(more.from, more.row, more_strip + panel * (narrow / 2 * 32), 32, more_used, block,
                         32, true, rows, columns);
        store_block(p, row, part.column + panel * 32, block);
      }
    }
  }
}

// Of one part.
std::int64_t product_memory(const Product& p, const ProductPart& part) {
  const std::int64_t whole = padded(p.main.depth), slice = whole < kDepth ? whole : kDepth,
                     narrow = padded(p.more.depth);
  const std::int64_t blocks = whole == slice ? 1 : (part.rows + 31) / 32 * (part.columns / 32);
  return (slice + narrow) * 2 * part.columns + 32 * (slice + narrow + 64) * 2 + blocks * 4096;
}

#endif

}  // namespace

void add_matrix_kernels(OpKernels& table) {
#if defined(__AVX512F__)
  table.product = product;
  table.product_memory = product_memory;
#else
  (void)table;
#endif
}

}  // namespace lathe::kernels::LATHE_ISA
