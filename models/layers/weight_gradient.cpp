#include "models/layers/weight_gradient.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "models/ops/kernels.h"
#include "models/ops/ops.h"
#include "models/ops/parallel.h"

namespace lathe {
namespace {

using Eight = std::uint16_t __attribute__((vector_size(16)));
constexpr std::int64_t kTile = 8, kBlock = 32;  // a block's row is one cache line

// 8 x 8 elements; strides in elements. Three rounds of interleaving: of rows 4 apart, 2 apart, 1 apart.
void transpose_tile(const std::uint16_t* from, std::int64_t from_row, std::uint16_t* to,
                    std::int64_t to_row) {
  Eight a[8], b[8];
  for (int i = 0; i < 8; ++i) std::memcpy(&a[i], from + i * from_row, sizeof a[i]);
  const auto interleave = [](const Eight(&in)[8], Eight(&out)[8]) {
    for (int i = 0; i < 4; ++i) {
      out[2 * i] = __builtin_shufflevector(in[i], in[i + 4], 0, 8, 1, 9, 2, 10, 3, 11);
      out[2 * i + 1] = __builtin_shufflevector(in[i], in[i + 4], 4, 12, 5, 13, 6, 14, 7, 15);
    }
  };
  interleave(a, b);
  interleave(b, a);
  interleave(a, b);
  for (int i = 0; i < 8; ++i) std::memcpy(to + i * to_row, &b[i], sizeof b[i]);
}

void transpose_block(const std::uint16_t* from, std::int64_t from_row, std::uint16_t* to, std::int64_t to_row,
                     std::int64_t rows, std::int64_t columns) {
  if (rows == kBlock && columns == kBlock) {
    for (std::int64_t c = 0; c < kBlock; c += kTile) {
      for (std::int64_t r = 0; r < kBlock; r += kTile) {
        transpose_tile(from + r * from_row + c, from_row, to + c * to_row + r, to_row);
      }
    }
    return;
  }
  for (std::int64_t c = 0; c < columns; ++c) {
    for (std::int64_t r = 0; r < rows; ++r) to[c * to_row + r] = from[r * from_row + c];
  }
}

// x (R, C) of 16-bit elements, rows dense -> (C, R).
void transpose_into(const at::Tensor& out, const at::Tensor& x) {
  const std::int64_t rows = x.size(0), columns = x.size(1), from_row = x.stride(0), to_row = out.stride(0);
  const auto* from = static_cast<const std::uint16_t*>(x.const_data_ptr());
  auto* to = static_cast<std::uint16_t*>(out.mutable_data_ptr());
  parallel_ranges((rows + kBlock - 1) / kBlock, 4, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin * kBlock; r < std::min(end * kBlock, rows); r += kBlock) {
      for (std::int64_t c = 0; c < columns; c += kBlock) {
        transpose_block(from + r * from_row + c, from_row, to + c * to_row + r, to_row,
                        std::min(kBlock, rows - r), std::min(kBlock, columns - c));
      }
    }
  });
}

at::Tensor transposed(const at::Tensor& x) {
  const at::Tensor dense = x.stride(1) == 1 ? x : x.contiguous();
  at::Tensor out = spaced_rows(x, x.size(1), x.size(0));
  transpose_into(out, dense);
  return out;
}

}  // namespace

at::Tensor spaced_rows(const at::Tensor& x, std::int64_t rows, std::int64_t columns) {
  const std::int64_t line = 64 / static_cast<std::int64_t>(x.element_size());
  const bool aligned = columns > 0 && columns % (16 * line) == 0;
  return at::empty({rows, aligned ? columns + line : columns}, x.options()).narrow(1, 0, columns);
}

bool own_weight_gradient(std::int64_t rows) {
  return rows % kRecurringRows != 0 || kernels::block_products() == kernels::BlockProducts::DotProducts;
}

at::Tensor weight_gradient(const at::Tensor& gradient, const at::Tensor& x) {
  if (!x.is_cpu() || x.scalar_type() != at::kBFloat16 || gradient.scalar_type() != at::kBFloat16) {
    return at::mm(gradient.t(), x);
  }
  if (own_weight_gradient(x.size(0))) return transposed_product(gradient, x);
  if (gradient.size(1) <= x.size(1)) return at::mm(transposed(gradient), x);
  const at::Tensor flipped = at::mm(transposed(x), gradient);  // (in, out)
  at::Tensor result = at::empty({gradient.size(1), x.size(1)}, x.options());
  transpose_into(result, flipped);
  return result;
}

}  // namespace lathe
