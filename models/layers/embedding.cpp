#include "models/layers/embedding.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/embedding_dense_backward.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/nonzero.h>
#include <ATen/ops/sort.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "models/ops/parallel.h"
#include "recipes/schema/error.h"

namespace lathe {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Adds the gradients of sorted ids' runs into the table's rows; a run is one id, so rows are written once.
template <class T>
void sum_runs(const at::Tensor& gradient, const at::Tensor& sorted, const at::Tensor& order,
              at::Tensor& table) {
  const std::int64_t count = sorted.size(0), channels = gradient.size(1);
  const std::int64_t *ids = sorted.const_data_ptr<std::int64_t>(),
                     *from = order.const_data_ptr<std::int64_t>();
  const T* source = gradient.const_data_ptr<T>();
  T* target = table.mutable_data_ptr<T>();
  std::vector<std::int64_t> runs;  // where each id begins
  for (std::int64_t i = 0; i < count; ++i) {
    if (i == 0 || ids[i] != ids[i - 1]) runs.push_back(i);
  }
  runs.push_back(count);
  parallel_ranges(static_cast<std::int64_t>(runs.size()) - 1, 64, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> sum(static_cast<std::size_t>(channels));
    for (std::int64_t run = begin; run < end; ++run) {
      std::fill(sum.begin(), sum.end(), 0.0F);
      for (std::int64_t i = runs[run]; i < runs[run + 1]; ++i) {
        const T* row = source + from[i] * channels;
        for (std::int64_t c = 0; c < channels; ++c) sum[c] += static_cast<float>(row[c]);
      }
      T* row = target + ids[runs[run]] * channels;
      for (std::int64_t c = 0; c < channels; ++c) row[c] = static_cast<T>(sum[c]);
    }
  });
}

at::Tensor table_gradient(const at::Tensor& gradient, const at::Tensor& ids, std::int64_t count) {
  const auto type = gradient.scalar_type();
  if (!gradient.is_cpu() || (type != at::kFloat && type != at::kBFloat16)) {
    return at::embedding_dense_backward(gradient, ids, count, -1, false);
  }
  at::Tensor table = at::zeros({count, gradient.size(1)}, gradient.options());
  const auto [sorted, order] = at::sort(ids.to(at::kLong), /*stable=*/true, /*dim=*/0, /*descending=*/false);
  if (type == at::kFloat) {
    sum_runs<float>(gradient.contiguous(), sorted, order, table);
  } else {
    sum_runs<at::BFloat16>(gradient.contiguous(), sorted, order, table);
  }
  return table;
}

// The gradient of rows [begin, begin + count) alone.
at::Tensor rows_gradient(const at::Tensor& gradient, const at::Tensor& ids, std::int64_t begin,
                         std::int64_t count) {
  const at::Tensor kept = at::nonzero((ids >= begin) & (ids < begin + count)).flatten();
  return table_gradient(gradient.index_select(0, kept), ids.index_select(0, kept) - begin, count);
}

// `rows` shares the memory of `weight`, so only the latter is read.
class TableRows : public torch::autograd::Function<TableRows> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& weight, const at::Tensor& ids,
                            const std::optional<at::Tensor>& rows, std::int64_t begin) {
    const at::AutoDispatchBelowADInplaceOrView below;
    ctx->save_for_backward({ids});
    ctx->saved_data["count"] = rows ? rows->size(0) : weight.size(0);
    ctx->saved_data["begin"] = begin;
    ctx->saved_data["some"] = rows.has_value();
    return at::index_select(weight, 0, ids);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const at::Tensor ids = ctx->get_saved_variables()[0];
    const std::int64_t count = ctx->saved_data["count"].toInt();
    variable_list result(4);
    const bool some = ctx->saved_data["some"].toBool();
    if (!some && ctx->needs_input_grad(0)) result[0] = table_gradient(gradients[0], ids, count);
    if (some && ctx->needs_input_grad(2))
      result[2] = rows_gradient(gradients[0], ids, ctx->saved_data["begin"].toInt(), count);
    return result;
  }
};

at::Tensor rows_from_blocks(const BlockMatrix& table, const at::Tensor& ids) {  // (N, channels) fp32
  const at::Tensor wide = ids.to(at::kLong).contiguous(),
                   out = at::empty({ids.size(0), table.columns}, at::kFloat);
  const std::int64_t* id = wide.const_data_ptr<std::int64_t>();
  float* values = out.mutable_data_ptr<float>();
  for (std::int64_t i = 0; i < ids.size(0); ++i) {
    require(id[i] >= 0 && id[i] < table.rows, "row ", id[i], " is not in a table of ", table.rows);
    table.read(id[i], 1, values + i * table.columns);
  }
  return out;
}

}  // namespace

TokenRows train_rows_of(at::Tensor& table, std::int64_t begin, std::int64_t count) {
  require(begin >= 0 && count > 0 && begin + count <= table.size(0), "rows ", begin, " to ",
          begin + count - 1, " are not all in a table of ", table.size(0));
  table.set_requires_grad(false);
  table.set_data(table.detach().clone());
  TokenRows rows{table.detach().narrow(0, begin, count).detach(), begin};
  rows.values.set_requires_grad(true);
  return rows;
}

Embedding::Embedding(std::int64_t count, std::int64_t channels, const LinearStorage& storage)
    : storage_(storage) {
  const at::TensorOptions options(storage.dtype);
  weight = register_parameter("weight",
                              frozen() ? at::empty({count, channels}, options.device(at::kMeta))
                                       : at::zeros({count, channels}, options),
                              /*requires_grad=*/!frozen());
}

void Embedding::hold(const at::Tensor& values) {
  require(frozen(), "a table that is not frozen owns its values");
  require(values.sizes() == weight.sizes(), "a table of shape ", weight.sizes(), " is wanted, found ",
          values.sizes());
  weight = replace_parameter("weight", held_values(values, storage_.dtype));
}

void Embedding::hold(const std::shared_ptr<const BlockMatrix>& blocks) {
  require(frozen(), "a table that is not frozen owns its values");
  require(blocks->rows == weight.size(0) && blocks->columns == weight.size(1), "a table of shape ",
          weight.sizes(), " is wanted, found (", blocks->rows, ", ", blocks->columns, ")");
  blocks_ = blocks;
}

void Embedding::train_rows(std::int64_t begin, std::int64_t count) {
  if (blocks_) weight = replace_parameter("weight", blocks_->dense());
  blocks_.reset();
  if (weight.scalar_type() != storage_.dtype) weight = replace_parameter("weight", weight.to(storage_.dtype));
  rows = train_rows_of(weight, begin, count);
  rows.values = register_parameter("trainable_tokens", rows.values);
}

at::Tensor Embedding::forward(const at::Tensor& ids) const {
  if (blocks_) return rows_from_blocks(*blocks_, ids).to(storage_.dtype);
  const auto values = rows.values.defined() ? std::optional(rows.values) : std::nullopt;
  return TableRows::apply(weight, ids, values, rows.begin).to(storage_.dtype);
}

}  // namespace lathe
