#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <ATen/Parallel.h>

#include <algorithm>

#include "models/ops/launch.h"
#include "models/ops/ops.h"

namespace lathe {
namespace {

constexpr std::int64_t kPanels = 16, kBlocks = 16, kSums = 256;  // of a task; sums in blocks of 32 x 32

std::int64_t shares(std::int64_t whole, std::int64_t most) { return (whole + most - 1) / most; }

// Blocks and panels of a task: its panels of one depth and its sums fit into the second-level cache together.
// All threads get as many tasks where the shape allows it.
struct TaskSize {
  std::int64_t blocks, panels;
};
TaskSize task_size(std::int64_t blocks, std::int64_t panels) {
  const std::int64_t threads = at::get_num_threads();
  std::int64_t pieces = shares(panels, kPanels);
  std::int64_t groups = shares(blocks, std::min(kBlocks, kSums / shares(panels, pieces)));
  while (groups * pieces % threads != 0 && groups < blocks) ++groups;
  if (groups * pieces < threads) pieces = std::min(panels, threads / groups);  // few blocks: of a factor
  return {shares(blocks, groups), shares(panels, pieces)};
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
  const std::int64_t blocks = (a.size(1) + 31) / 32;
  const TaskSize size = task_size(blocks, panels);
  const std::int64_t pieces = shares(panels, size.panels);
  parallel_tasks(shares(blocks, size.blocks) * pieces, [&](std::int64_t task) {
    const std::int64_t block = task / pieces * size.blocks, panel = task % pieces * size.panels;
    const kernels::TransposedPart part{.block = block,
                                       .blocks = std::min(size.blocks, blocks - block),
                                       .panel = panel,
                                       .panels = std::min(size.panels, panels - panel)};
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
