// Matrices that stay in a file's quantised blocks give what their dense values give.
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <set>

#include "checkpoints/formats/block_rows.h"
#include "models/decoder/weights.h"
#include "tests/catch.h"
#include "tests/unit/models/decoder/tiny.h"

using namespace lathe;

namespace {

DecoderSpec spec_of(bool tied) {
  DecoderSpec spec = tiny::llama_spec();
  spec.vocab_size = 96;
  spec.hidden_size = 64;
  spec.intermediate_size = 96;
  spec.tie_embeddings = tied;
  return spec;
}

// The tensor's matrix in blocks of Q8_0, of which row i is kept as row `from(i)`.
BundleTensor in_blocks(const BundleTensor& tensor, std::function<std::int64_t(std::int64_t)> from = {}) {
  const at::Tensor values = to_tensor(tensor).clone();
  at::Tensor kept = values.clone();
  for (std::int64_t i = 0; from && i < values.size(0); ++i) kept[from(i)] = values[i];
  const auto count = static_cast<std::size_t>(values.numel());
  const auto bytes = std::make_shared<std::vector<std::byte>>(ggml_bytes(GgmlType::Q8_0, count));
  ggml_quantize(GgmlType::Q8_0, {kept.const_data_ptr<float>(), count}, bytes->data());
  BundleTensor blocks{tensor.name, DType::F32, tensor.shape, nullptr};
  blocks.bytes = BlockRows{GgmlType::Q8_0, tensor.shape[0], tensor.shape[1],
                           [bytes] {
                             return ByteBlock{*bytes, bytes};
                           },
                           std::move(from)};
  return blocks;
}

BundleTensor made_dense(const BundleTensor& blocks) {
  return memory_tensor(blocks.name, blocks.dtype, blocks.shape, blocks.bytes());
}

}  // namespace

TEST_CASE("a decoder computes with blocks as with their dense values", "[blocks]") {
  const bool tied = GENERATE(false, true);
  const DecoderSpec spec = spec_of(tied);
  const auto source = tiny::random_decoder(spec);
  std::vector<BundleTensor> blocks, dense;
  for (const auto& item : source->named_parameters()) {
    BundleTensor tensor = from_tensor(item.name, item.tensor);
    if (tensor.shape.size() == 2)
      tensor = in_blocks(tensor, [rows = tensor.shape[0]](std::int64_t i) { return rows - 1 - i; });
    blocks.push_back(tensor);
    dense.push_back(tensor.shape.size() == 2 ? made_dense(tensor) : tensor);
  }
  Decoder kept(spec, frozen_storage(at::kFloat)), whole(spec, frozen_storage(at::kFloat));
  load_parameters(kept, blocks);
  load_parameters(whole, dense);
  std::size_t in_their_blocks = 0;
  for (const auto& [path, part] : kept.named_modules())
    if (const auto linear = std::dynamic_pointer_cast<Linear>(part)) {
      CHECK(linear->matrix().blocks);
      CHECK_FALSE(linear->matrix().values.defined());
      ++in_their_blocks;
    }
  CHECK(in_their_blocks == (tied ? 21u : 22u));

  const at::NoGradGuard no_grad;
  for (const std::int64_t length : {5, 40}) {  // rows of a generation, rows of a batch
    const at::Tensor ids = at::randint(0, spec.vocab_size, {1, length}, at::kLong);
    KvCache first(spec, 1, length, at::kFloat), second(spec, 1, length, at::kFloat);
    CHECK(at::allclose(kept.forward_cached(ids, first), whole.forward_cached(ids, second), 1e-5, 1e-6));
    DecoderInput input{
        ids.view({-1}), at::arange(length), {{0, static_cast<std::int32_t>(length), 0, 0}}, 1, length};
    const at::Tensor a = kept.forward(input), b = whole.forward(input);
    CHECK(at::allclose(a, b, 1e-5, 1e-6));
    CHECK(at::allclose(kept.logits(a), whole.logits(b), 1e-5, 1e-6));
  }
  CHECK(at::equal(kept.head_weight(), whole.head_weight()));
  DecoderInput beyond{at::full({1}, spec.vocab_size), at::zeros({1}, at::kLong), {{0, 1, 0, 0}}, 1, 1};
  CHECK_THROWS(kept.forward(beyond));
}

TEST_CASE("a product with blocks has the gradient of its input", "[blocks]") {
  const at::Tensor weight = at::randn({96, 64}) * 0.3;
  const BundleTensor blocks = in_blocks(from_tensor("w", weight));
  const BlockRows* rows = block_rows(blocks);
  REQUIRE(rows);
  Linear kept(64, 96, false, frozen_storage(at::kFloat)), whole(64, 96, false, frozen_storage(at::kFloat));
  kept.hold(std::make_shared<const BlockMatrix>(BlockMatrix{96, 64, rows->reader()}));
  whole.hold(to_tensor(made_dense(blocks)));
  at::Tensor x = at::randn({7, 64}).set_requires_grad(true), y = x.detach().clone().set_requires_grad(true);
  kept.forward(x).square().sum().backward();
  whole.forward(y).square().sum().backward();
  CHECK(at::allclose(x.grad(), y.grad(), 1e-5, 1e-5));
  CHECK(at::equal(kept.dense_weight(), whole.dense_weight()));
  CHECK_THROWS(kept.hold(std::make_shared<const BlockMatrix>(BlockMatrix{64, 96, rows->reader()})));
}

TEST_CASE("a tensor that is given other bytes is no longer in blocks", "[blocks]") {
  const BundleTensor blocks = in_blocks(from_tensor("w", at::randn({32, 64})));
  CHECK(block_rows(blocks));
  CHECK(block_rows(convert_tensor(blocks, DType::F32)));
  CHECK_FALSE(block_rows(convert_tensor(blocks, DType::BF16)));
  const BlockRows& rows = *block_rows(blocks);
  const at::Tensor all = to_tensor(blocks);
  std::vector<float> some(3 * 64);
  rows.reader()(17, 3, some.data());
  CHECK(at::equal(at::tensor(some).view({3, 64}), all.narrow(0, 17, 3)));
}
