#include <ATen/core/Tensor.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <ATen/Parallel.h>

#include <algorithm>

#include "models/ops/launch.h"
#include "models/ops/ops.h"

namespace lathe {
namespace {

constexpr std::int64_t kStripBytes = 768 << 10;  // of the second-level cache, for the packed strip
constexpr std::int64_t kGroupRows = 1024;

bool tiled(const at::Tensor& a, const at::Tensor& b) {
  return a.scalar_type() == at::kBFloat16 && b.scalar_type() == at::kBFloat16 && a.device().is_cpu() &&
         a.size(0) >= kFewRows && a.size(0) % kRecurringRows != 0 &&
         kernels::op_kernels(true).product != nullptr && a.size(1) > 0 && b.size(1) > 0;
}

// Of the library's bf16 products, for every new shape of which it generates code that it keeps.
bool of_many_shapes(const at::Tensor& a) {
  return a.scalar_type() == at::kBFloat16 && a.device().is_cpu() && a.size(0) >= kFewRows &&
         a.size(0) % kRecurringRows != 0;
}

void library_product(at::Tensor& out, const at::Tensor& a, const at::Tensor& b, const ProductTerm& term) {
  if (term.addend.defined())
    at::addmm_out(out, term.addend, a, b, 1, term.scale);
  else if (at::mm_out(out, a, b); term.scale != 1)
    out.mul_(term.scale);
}

// Pieces of kRecurringRows, of kTailRows, and what is left with rows of zeros below: two shapes, whatever the
// rows.
void product_in_pieces(at::Tensor& out, const at::Tensor& a, const at::Tensor& b, const ProductTerm& term) {
  const bool rowwise = term.addend.defined() && term.addend.dim() == 2;
  std::int64_t begin = 0;
  for (const std::int64_t rows : {kRecurringRows, kTailRows}) {
    for (; begin + rows <= a.size(0); begin += rows) {
      at::Tensor part = out.narrow(0, begin, rows);
      library_product(part, a.narrow(0, begin, rows), b,
                      {term.scale, rowwise ? term.addend.narrow(0, begin, rows) : term.addend});
    }
  }
  const std::int64_t left = a.size(0) - begin;
  if (left == 0) return;
  at::Tensor part = at::empty({kTailRows, out.size(1)}, out.options());
  library_product(
      part, padded_rows(a.narrow(0, begin, left), kTailRows), b,
      {term.scale, rowwise ? padded_rows(term.addend.narrow(0, begin, left), kTailRows) : term.addend});
  out.narrow(0, begin, left).copy_(part.narrow(0, 0, left));
}

kernels::Factors factors(const at::Tensor& a, const at::Tensor& b, bool b_turned) {
  return {.a = a.const_data_ptr(),
          .b = b.const_data_ptr(),
          .depth = a.size(1),
          .a_row = a.stride(0),
          .b_row = b_turned ? b.stride(1) : b.stride(0),
          .b_turned = b_turned};
}
bool lies_turned(const at::Tensor& b) { return b.stride(0) == 1 && b.stride(1) >= b.size(0); }

void tiled_product(at::Tensor& out, const at::Tensor& a, const at::Tensor& b, const ProductTerm& term) {
  const kernels::OpKernels& table = kernels::op_kernels(true);
  const auto dense = [](const at::Tensor& x) { return lies_turned(x) ? x : rows_dense(x); };
  const at::Tensor left = rows_dense(a), right = dense(b);
  const at::Tensor addend =
      term.addend.defined() && term.addend.dim() == 2 ? rows_dense(term.addend) : term.addend;
  kernels::Product args{.main = factors(left, right, lies_turned(b)),
                        .more = {},
                        .addend = addend.defined() ? addend.const_data_ptr() : nullptr,
                        .out = out.data_ptr(),
                        .rows = a.size(0),
                        .columns = b.size(1),
                        .addend_row = addend.defined() && addend.dim() == 2 ? addend.stride(0) : 0,
                        .out_row = out.stride(0),
                        .scale = static_cast<float>(term.scale)};
  at::Tensor more_left, more_right;
  if (term.more_a.defined()) {
    more_left = rows_dense(term.more_a);
    more_right = dense(term.more_b);
    args.more = factors(more_left, more_right, lies_turned(term.more_b));
  }
  const std::int64_t panels = (args.columns + 31) / 32,
                     depth = std::min<std::int64_t>((a.size(1) + 31) / 32 * 32, 4096);
  const std::int64_t most = (args.rows + kGroupRows - 1) / kGroupRows, threads = at::get_num_threads();
  const std::int64_t fitting = std::max<std::int64_t>(1, kStripBytes / (depth * 64));
  const std::int64_t strip = std::min(fitting, std::max<std::int64_t>(1, panels * most / threads)),
                     strips = (panels + strip - 1) / strip;
  // Few panels, as of an adapter's factor, do not feed all threads: then the rows are shared as well.
  const std::int64_t wanted = std::max(most, threads / strips),
                     group = (args.rows + wanted * 32 - 1) / (wanted * 32) * 32,
                     groups = (args.rows + group - 1) / group;
  parallel_tasks(groups * strips, [&](std::int64_t task) {
    const std::int64_t row = task / strips * group, panel = task % strips * strip;
    const kernels::ProductPart part{.row = row,
                                    .rows = std::min(group, args.rows - row),
                                    .column = panel * 32,
                                    .columns = std::min(strip, panels - panel) * 32};
    table.product(args, part, thread_memory(table.product_memory(args, part)));
  });
}

}  // namespace

at::Tensor& product_into(at::Tensor& out, const at::Tensor& a, const at::Tensor& b, const ProductTerm& term) {
  require(a.dim() == 2 && b.dim() == 2 && a.size(1) == b.size(0),
          "product: matrices (N, I) and (I, O) are wanted, found ", a.sizes(), " and ", b.sizes());
  require_shape(out, {a.size(0), b.size(1)}, "product", "out");
  const bool more = term.more_a.defined();
  if (more) {
    require(term.more_a.dim() == 2 && term.more_b.dim() == 2 && term.more_a.size(0) == a.size(0) &&
                term.more_b.size(1) == b.size(1) && term.more_a.size(1) == term.more_b.size(0) &&
                term.more_a.scalar_type() == a.scalar_type(),
            "product: more factors of the same rows, columns and type are wanted, found ",
            term.more_a.sizes(), " and ", term.more_b.sizes());
    require(term.scale == 1 && !term.addend.defined(), "product: more factors go without scale and addend");
  }
  if (tiled(a, b) && out.stride(1) == 1) {
    tiled_product(out, a, b, term);
    return out;
  }
  of_many_shapes(a) ? product_in_pieces(out, a, b, {term.scale, term.addend})
                    : library_product(out, a, b, {term.scale, term.addend});
  return more ? product_into(out, term.more_a, term.more_b, {1, out}) : out;
}

at::Tensor rows_dense(const at::Tensor& x) { return x.stride(1) == 1 ? x : x.contiguous(); }

at::Tensor padded_rows(const at::Tensor& x, std::int64_t rows) {
  at::Tensor all = at::empty({rows, x.size(1)}, x.options());
  all.narrow(0, 0, x.size(0)).copy_(x);
  all.narrow(0, x.size(0), rows - x.size(0)).zero_();
  return all;
}

at::Tensor product(const at::Tensor& a, const at::Tensor& b, const ProductTerm& term) {
  at::Tensor out = at::empty({a.size(0), b.size(1)}, a.options());
  product_into(out, a, b, term);
  return out;
}

}  // namespace lathe
