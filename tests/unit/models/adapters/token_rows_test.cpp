#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>

#include <cstring>
#include <map>

#include "models/adapters/attach.h"
#include "models/decoder/weights.h"
#include "models/layers/embedding.h"
#include "models/objectives/causal_lm.h"
#include "recipes/schema/error.h"
#include "tests/catch.h"
#include "tests/unit/models/decoder/tiny.h"

using namespace lathe;
using Gradients = std::map<std::string, at::Tensor>;

namespace {

constexpr std::int64_t kFirst = 40, kCount = 7;

Gradients gradients_of(Decoder& decoder) {
  causal_lm_loss(decoder, tiny::make_batch({{9, 14}, {20}}, 24, 61), {}).sum.backward();
  Gradients gradients;
  for (auto& item : decoder.named_parameters()) {
    if (item.tensor.grad().defined()) gradients[item.name] = item.tensor.grad();
  }
  return gradients;
}

std::shared_ptr<Decoder> rows_only(const DecoderSpec& spec) {
  auto decoder = tiny::random_decoder(spec);
  for (auto& item : decoder->named_parameters()) item.tensor.set_requires_grad(false);
  decoder->train_token_rows(kFirst, kCount);
  return decoder;
}

}  // namespace

TEST_CASE(
    "the gradient of trained rows is that of the whole table's rows, from both of its ends when it is tied") {
  for (DecoderSpec spec : {tiny::llama_spec(), tiny::gemma_spec(), tiny::gpt2_spec()}) {
    for (const bool tied : {false, true}) {
      spec.tie_embeddings = tied;
      const Gradients whole = gradients_of(*tiny::random_decoder(spec));
      const Gradients some = gradients_of(*rows_only(spec));
      REQUIRE(some.size() == (tied ? 1 : 2));
      for (const auto& [name, gradient] : some) {
        INFO(name << (tied ? " tied" : ""));
        const std::string table = name.substr(0, name.rfind('.')) + ".weight";
        const at::Tensor wanted = whole.at(table).narrow(0, kFirst, kCount);
        CHECK(wanted.abs().max().item<double>() > 1e-3);
        CHECK(tiny::largest_difference(gradient, wanted) <
              1e-5 * std::max(1.0, wanted.abs().max().item<double>()));
      }
    }
  }
}

TEST_CASE("what is written to the rows is what the model reads, and no other row moves") {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    auto decoder = tiny::random_decoder(tiny::gemma_spec(), type);
    for (auto& item : decoder->named_parameters()) item.tensor.set_requires_grad(false);
    const at::Tensor before = decoder->head_weight().clone();
    decoder->train_token_rows(kFirst, kCount);
    const at::NoGradGuard no_grad;
    at::Tensor rows = decoder->named_parameters()["model.embed_tokens.trainable_tokens"];
    CHECK(at::equal(rows, before.narrow(0, kFirst, kCount)));
    rows.add_(1);
    at::Tensor wanted = before.clone();
    wanted.narrow(0, kFirst, kCount).add_(1);
    CHECK(at::equal(decoder->head_weight(), wanted));
  }
}

TEST_CASE("rows beyond the table are refused") {
  auto decoder = tiny::random_decoder(tiny::llama_spec());
  CHECK_THROWS_AS(decoder->train_token_rows(60, 2), Error);
}

TEST_CASE("trained rows are merged into both tables and count as a change") {
  const DecoderSpec spec = tiny::llama_spec();  // untied
  auto decoder = tiny::random_decoder(spec);
  Bundle base;
  base.spec = spec;
  for (const auto& item : decoder->named_parameters())
    base.tensors.push_back(from_tensor(item.name, item.tensor));
  PeftAdapter adapter;
  adapter.rank = 1;
  adapter.token_rows = {{"embed_tokens", {5, 2}}, {"lm_head", {60}}};
  adapter.tensors = {from_tensor("model.embed_tokens.trainable_tokens", at::full({2, 48}, 3.0)),
                     from_tensor("lm_head.trainable_tokens", at::full({1, 48}, 4.0))};
  const Bundle merged = merge_adapter(base, adapter);
  const auto tensor_of = [](const Bundle& bundle, const std::string& name) {
    for (const BundleTensor& tensor : bundle.tensors)
      if (tensor.name == name) return to_tensor(tensor).clone();
    FAIL("no tensor " << name);
    return at::Tensor();
  };
  at::Tensor wanted = tensor_of(base, "model.embed_tokens.weight");
  wanted[5] = at::full({48}, 3.0);
  wanted[2] = at::full({48}, 3.0);
  CHECK(at::equal(tensor_of(merged, "model.embed_tokens.weight"), wanted));
  wanted = tensor_of(base, "lm_head.weight");
  wanted[60] = at::full({48}, 4.0);
  CHECK(at::equal(tensor_of(merged, "lm_head.weight"), wanted));
  adapter.token_rows["lm_head"] = {61};
  CHECK_THROWS_AS(merge_adapter(base, adapter), Error);
  adapter.token_rows = {{"embed_tokens", {5, 2}}};  // as they are: nothing was learned
  adapter.tensors = {
      from_tensor("model.embed_tokens.trainable_tokens",
                  tensor_of(base, "model.embed_tokens.weight").index_select(0, at::tensor({5, 2})))};
  CHECK_THROWS_AS(merge_adapter(base, adapter), Error);
}
