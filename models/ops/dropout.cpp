#include <ATen/core/Tensor.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include "data/random/philox.h"
#include "models/ops/launch.h"
#include "models/ops/ops.h"

namespace lathe {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Where each row stands: (N) documents and (N) positions in them, -1 in padding.
variable_list places(std::int64_t rows, const std::vector<Stretch>& stretches) {
  const at::Tensor documents = at::zeros({rows}, at::kLong), positions = at::full({rows}, -1, at::kLong);
  auto* document = documents.data_ptr<std::int64_t>();
  auto* position = positions.data_ptr<std::int64_t>();
  for (const Stretch& stretch : stretches) {
    require(stretch.begin >= 0 && stretch.begin + stretch.length <= rows,
            "counter_dropout: a stretch ends at ", stretch.begin + stretch.length, " of ", rows, " tokens");
    for (std::int32_t i = 0; i < stretch.length; ++i) {
      document[stretch.begin + i] = static_cast<std::int64_t>(stretch.document);
      position[stretch.begin + i] = stretch.position + i;
    }
  }
  return {documents, positions};
}

// The key of the stream: seed, step and site hashed by one call, so that each counts in full.
std::array<std::uint32_t, 4> stream_key(const DropoutKey& key) {
  const auto low = [](std::uint64_t x) { return static_cast<std::uint32_t>(x); };
  const auto high = [](std::uint64_t x) { return static_cast<std::uint32_t>(x >> 32); };
  return philox4x32({low(key.step), high(key.step), key.site, static_cast<std::uint32_t>(Purpose::Dropout)},
                    {low(key.seed), high(key.seed)});
}

at::Tensor drop(const at::Tensor& x, const variable_list& where, double probability,
                const std::int64_t key[2]) {
  const kernels::OpKernels& table = kernels_for(x, "counter_dropout");
  const at::Tensor dense = x.contiguous();
  at::Tensor out = at::empty_like(dense);
  const kernels::Dropout args{
      .x = dense.const_data_ptr(),
      .out = out.data_ptr(),
      .documents = reinterpret_cast<const std::uint64_t*>(where[0].const_data_ptr<std::int64_t>()),
      .positions = where[1].const_data_ptr<std::int64_t>(),
      .key = {static_cast<std::uint32_t>(key[0]), static_cast<std::uint32_t>(key[1])},
      .channels = x.size(1),
      .threshold = static_cast<std::uint32_t>(std::llround(probability * 4294967296.0)),
      .keep_scale = static_cast<float>(1 / (1 - probability))};
  parallel_ranges(x.size(0), row_grain(x.size(1)),
                  [&](std::int64_t begin, std::int64_t end) { table.dropout(args, begin, end); });
  return out;
}

struct CounterDropout : torch::autograd::Function<CounterDropout> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const variable_list& where,
                            double probability, const std::array<std::uint32_t, 4>& key) {
    ctx->save_for_backward(where);
    ctx->saved_data["probability"] = probability;
    ctx->saved_data["key0"] = static_cast<std::int64_t>(key[0]);
    ctx->saved_data["key1"] = static_cast<std::int64_t>(key[1]);
    const std::int64_t words[2] = {key[0], key[1]};
    return drop(x, where, probability, words);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const std::int64_t words[2] = {ctx->saved_data["key0"].toInt(), ctx->saved_data["key1"].toInt()};
    return {drop(gradients[0], ctx->get_saved_variables(), ctx->saved_data["probability"].toDouble(), words),
            at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor counter_dropout(const at::Tensor& x, double probability, const DropoutKey& key,
                           const std::vector<Stretch>& stretches) {
  require(probability >= 0 && probability < 1, "counter_dropout: the probability should be in [0, 1), found ",
          probability);
  require(x.dim() == 2, "counter_dropout: x should have two dimensions, found shape ", x.sizes());
  if (probability == 0) return x;
  return CounterDropout::apply(x, places(x.size(0), stretches), probability, stream_key(key));
}

}  // namespace lathe
