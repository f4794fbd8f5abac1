#include "models/layers/embedding.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <vector>

#include "models/ops/parallel.h"

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

class TableRows : public torch::autograd::Function<TableRows> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& weight, const at::Tensor& ids) {
    const at::AutoDispatchBelowADInplaceOrView below;
    ctx->save_for_backward({ids});
    ctx->saved_data["count"] = weight.size(0);
    return at::index_select(weight, 0, ids);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const at::Tensor ids = ctx->get_saved_variables()[0];
    return {table_gradient(gradients[0], ids, ctx->saved_data["count"].toInt()), at::Tensor()};
  }
};

}  // namespace

Embedding::Embedding(std::int64_t count, std::int64_t channels, at::ScalarType dtype) {
  weight = register_parameter("weight", at::zeros({count, channels}, dtype));
}

at::Tensor Embedding::forward(const at::Tensor& ids) const { return TableRows::apply(weight, ids); }

}  // namespace lathe
