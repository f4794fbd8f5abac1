#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <ATen/Parallel.h>

#include <algorithm>

#include "models/ops/launch.h"
#include "models/ops/ops.h"

namespace lathe {
namespace {

// Blocks of a task share the panels they read from the second-level cache; their sums have to fit in it as
// well.
std::int64_t blocks_a_task(std::int64_t blocks, std::int64_t columns) {
  const std::int64_t threads = at::get_num_threads(),
                     fitting = std::max<std::int64_t>(1, (1 << 18) / (32 * columns));
  return std::min(std::min<std::int64_t>(fitting, 16), (blocks + threads - 1) / threads);
}

bool tiled(const at::Tensor& a, const at::Tensor& b) {
  return a.scalar_type() == at::kBFloat16 && b.scalar_type() == at::kBFloat16 && a.device().is_cpu() &&
         kernels::op_kernels(true).transposed_product != nullptr;
}

// The library's. In bf16 its code is made for each number of rows and kept: they are filled up to a few
// numbers.
at::Tensor library_transposed_product(const at::Tensor& a, const at::Tensor& b) {
  const std::int64_t rows = a.size(0), unit = rows < 2 * kRecurringRows ? kTailRows : kRecurringRows;
  const std::int64_t all = (rows + unit - 1) / unit * unit;
  if (a.scalar_type() != at::kBFloat16 || !a.device().is_cpu() || rows < kFewRows || rows == all)
    return at::mm(a.t(), b);
  return at::mm(padded_rows(a, all).t(), padded_rows(b, all));
}

}  // namespace

void transposed_product_into(at::Tensor& sum, const at::Tensor& a, const at::Tensor& b, bool add) {
  require(a.dim() == 2 && b.dim() == 2 && a.size(0) == b.size(0),
          "transposed_product: two matrices of as many rows are ", "wanted, found ", a.sizes(), " and ",
          b.sizes());
  require_shape(sum, {a.size(1), b.size(1)}, "transposed_product", "sum");
  require(sum.scalar_type() == at::kFloat && sum.is_contiguous(),
          "transposed_product: a dense float32 sum is wanted");
  if (!tiled(a, b) || a.size(0) == 0) {
    const at::Tensor product = library_transposed_product(a, b);
    add ? sum.add_(product) : sum.copy_(product);
    return;
  }
  const at::Tensor left = rows_dense(a), right = rows_dense(b);
  const kernels::OpKernels& table = kernels::op_kernels(true);
  const std::int64_t row_blocks = (a.size(0) + 31) / 32, panels = (b.size(1) + 31) / 32;
  const at::Tensor packed = at::empty({panels * row_blocks * 16 * 32}, at::kInt);
  const kernels::TransposedProduct args{
      .a = left.const_data_ptr(),
      .b = right.const_data_ptr(),
      .panels = reinterpret_cast<std::uint32_t*>(packed.data_ptr<std::int32_t>()),
      .sum = sum.data_ptr<float>(),
      .rows = a.size(0),
      .a_row = left.stride(0),
      .a_columns = a.size(1),
      .b_row = right.stride(0),
      .b_columns = b.size(1),
      .add = add};
  parallel_ranges(row_blocks, 1,
                  [&](std::int64_t begin, std::int64_t end) { table.pack_panels(args, begin, end); });
  const std::int64_t blocks = (a.size(1) + 31) / 32, step = blocks_a_task(blocks, b.size(1));
  // Few blocks, as of an adapter's factor, do not feed all threads: then the panels are shared as well.
  const std::int64_t tasks = (blocks + step - 1) / step,
                     pieces = std::clamp<std::int64_t>(at::get_num_threads() / tasks, 1, panels),
                     width = (panels + pieces - 1) / pieces;
  parallel_tasks(tasks * pieces, [&](std::int64_t task) {
    const std::int64_t block = task / pieces * step, panel = task % pieces * width;
    if (panel >= panels) return;
    const kernels::TransposedPart part{.block = block,
                                       .blocks = std::min(step, blocks - block),
                                       .panel = panel,
                                       .panels = std::min(width, panels - panel)};
    table.transposed_product(args, part,
                             thread_memory(table.transposed_product_memory(part.blocks, part.panels)));
  });
}

at::Tensor transposed_product(const at::Tensor& a, const at::Tensor& b, double scale) {
  if (!tiled(a, b))
    return scale == 1 ? library_transposed_product(a, b) : library_transposed_product(a, b).mul_(scale);
  at::Tensor sum = at::empty({a.size(1), b.size(1)}, at::kFloat);
  transposed_product_into(sum, a, b, false);
  return (scale == 1 ? sum : sum.mul_(scale)).to(a.scalar_type());
}

}  // namespace lathe
