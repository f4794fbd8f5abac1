#include <ATen/core/Tensor.h>
#include <ATen/Context.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/rand_like.h>
#include <ATen/ops/randn.h>
#include <torch/csrc/autograd/autograd.h>

#include <map>

#include "models/adapters/attach.h"
#include "models/decoder/weights.h"
#include "models/objectives/causal_lm.h"
#include "models/ops/nf4.h"
#include "recipes/schema/error.h"
#include "tests/catch.h"
#include "tests/unit/models/adapters/formula.h"
#include "tests/unit/models/decoder/tiny.h"

using namespace lathe;
using formula::relative_error;
using Gradients = std::map<std::string, at::Tensor>;

namespace {

LinearStorage four_bits(at::ScalarType type = at::kFloat) {
  LinearStorage storage(type);
  storage.nf4 = true;
  return storage;
}

AdapterSpec spec_of(AdapterKind kind) {
  AdapterSpec spec;
  spec.kind = kind;
  spec.rank = 4;
  spec.alpha = 10;
  spec.targets = {"all-linear"};
  return spec;
}

std::shared_ptr<Linear> quantised_linear(const AdapterSpec& spec, std::int64_t in, std::int64_t out,
                                         bool bias) {
  const at::NoGradGuard no_grad;
  const auto linear = std::make_shared<Linear>(in, out, bias, four_bits());
  linear->hold(at::randn({out, in}) * 0.4);
  if (bias) linear->bias.normal_(0, 0.4).set_requires_grad(false);
  const auto adapter = std::make_shared<Adapter>(spec, linear->dense_weight(), 5, 0);
  adapter->a.normal_(0, 0.3);
  adapter->b.normal_(0, 0.3);
  if (adapter->magnitude.defined()) adapter->magnitude.mul_(at::rand(out) + 0.5);
  linear->adapt(adapter);
  return linear;
}

Bundle bundle_of(const DecoderSpec& spec) {
  const auto source = tiny::random_decoder(spec);
  Bundle bundle;
  bundle.spec = spec;
  for (const auto& item : source->named_parameters())
    bundle.tensors.push_back(from_tensor(item.name, item.tensor));
  return bundle;
}

bool is_block_matrix(const BundleTensor& tensor) {
  return tensor.shape.size() == 2 && tensor.name.find("layers.") != std::string::npos;
}

// The bundle with the blocks' matrices as 4 bits say them.
Bundle rounded(Bundle bundle) {
  for (BundleTensor& tensor : bundle.tensors)
    if (is_block_matrix(tensor))
      tensor = from_tensor(tensor.name, nf4_dequantised(nf4_quantise(to_tensor(tensor), true), at::kFloat));
  return bundle;
}

std::shared_ptr<Decoder> adapted(const Bundle& bundle, const LinearStorage& storage, AdapterKind kind) {
  const auto decoder = build_decoder(bundle, storage);
  attach_adapters(*decoder, spec_of(kind), 9);
  const at::NoGradGuard no_grad;
  at::manual_seed(31);
  for (auto& item : decoder->named_parameters()) {
    if (item.name.find("lora_B") != std::string::npos) item.tensor.normal_(0, 0.2);
    if (item.name.find("magnitude") != std::string::npos) item.tensor.mul_(at::rand_like(item.tensor) + 0.5);
  }
  return decoder;
}

Gradients gradients_of(Decoder& decoder, const Batch& batch, bool checkpointing = false) {
  RunOptions options;
  options.training = true;
  options.activation_checkpointing = checkpointing;
  for (at::Tensor& p : decoder.parameters()) p.mutable_grad() = at::Tensor();
  causal_lm_loss(decoder, batch, options).sum.backward();
  Gradients gradients;
  for (auto& item : decoder.named_parameters())
    if (item.tensor.grad().defined()) gradients[item.name] = item.tensor.grad().clone();
  return gradients;
}

Batch two_rows() { return tiny::make_batch({{9, 14}, {20}}, 24, 61); }

}  // namespace

TEST_CASE("an adapter on 4 bits and its gradients are the published formulas on the dense weight") {
  for (const AdapterKind kind : {AdapterKind::Lora, AdapterKind::Dora}) {
    for (const bool bias : {false, true}) {
      at::manual_seed(21);
      const auto linear = quantised_linear(spec_of(kind), 24, 17, bias);
      const at::Tensor x = at::randn({31, 24}).requires_grad_();
      const Adapter& adapter = *linear->adapter();
      const formula::Parts parts = {formula::leaf(x),
                                    formula::leaf(linear->dense_weight()),
                                    formula::leaf(linear->bias),
                                    formula::leaf(adapter.a),
                                    formula::leaf(adapter.b),
                                    formula::leaf(adapter.magnitude)};
      std::vector<at::Tensor> inputs = {x}, right_inputs = {parts.x, parts.a, parts.b};
      for (const at::Tensor& t : formula::trained(*linear)) inputs.push_back(t);
      if (parts.magnitude.defined()) right_inputs.push_back(parts.magnitude);
      const auto found = formula::values_and_gradients(linear->forward(x), inputs);
      const auto right = formula::values_and_gradients(formula::output(parts, 2.5), right_inputs);
      REQUIRE(found.size() == right.size());
      for (std::size_t i = 0; i < found.size(); ++i) {
        INFO("value " << i << " of y, x, A, B, m");
        CHECK(relative_error(found[i], right[i]) < 5e-6);
      }
    }
  }
}

TEST_CASE("a decoder on 4 bits is the one of the dense values, gradients of adapters included") {
  for (const DecoderSpec& spec : {tiny::llama_spec(), tiny::gpt2_spec(), tiny::gemma_spec()}) {
    for (const AdapterKind kind : {AdapterKind::Lora, AdapterKind::Dora}) {
      const Bundle base = bundle_of(spec);
      const auto found = adapted(base, four_bits(), kind), right = adapted(rounded(base), at::kFloat, kind),
                 original = adapted(base, at::kFloat, kind);
      const Batch batch = two_rows();
      const Gradients ours = gradients_of(*found, batch), wanted = gradients_of(*right, batch),
                      others = gradients_of(*original, batch);
      REQUIRE(ours.size() == wanted.size());
      REQUIRE(ours.size() >= static_cast<std::size_t>(2 * 3 * 6));
      double nearest = 1;
      for (const auto& [name, gradient] : wanted) {
        INFO(name);
        REQUIRE(ours.contains(name));
        CHECK(relative_error(ours.at(name), gradient) < 2e-5);
        nearest = std::min(nearest, relative_error(others.at(name), gradient));
      }
      CHECK(nearest > 1e-3);  // rounding to 4 bits is seen by every one of them
      const Gradients again = gradients_of(*found, batch, /*checkpointing=*/true);
      for (const auto& [name, gradient] : ours) CHECK(at::equal(gradient, again.at(name)));
    }
  }
}

TEST_CASE("a matrix in 4 bits has a name and a shape, and no other storage") {
  const Bundle base = bundle_of(tiny::llama_spec());
  const auto decoder = build_decoder(base, four_bits(at::kBFloat16));
  std::size_t quantised = 0;
  for (const auto& item : decoder->named_parameters()) {
    const at::Tensor& p = item.tensor;
    const bool block = p.dim() == 2 && item.name.find("layers.") != std::string::npos;
    CHECK(p.is_meta() == block);
    CHECK(p.scalar_type() == at::kBFloat16);
    quantised += block;
  }
  CHECK(quantised == 3 * 7);
  for (const auto& [path, part] : decoder->named_modules()) {
    const auto linear = std::dynamic_pointer_cast<Linear>(part);
    if (!linear || !linear->quantised()) continue;
    CHECK(linear->matrix().quantised->bytes() * 10 < linear->weight.numel() * 6);
    CHECK(linear->dense_weight().scalar_type() == at::kBFloat16);
  }
}

TEST_CASE("a weight that cannot be quantised is named") {
  Bundle base = bundle_of(tiny::llama_spec());
  base.origin = "here";
  for (BundleTensor& tensor : base.tensors) {
    if (tensor.name != "model.layers.1.mlp.up_proj.weight") continue;
    at::Tensor broken = to_tensor(tensor).clone();
    broken[3][4] = std::nanf("");
    tensor = from_tensor(tensor.name, broken);
  }
  CHECK_THROWS_WITH(build_decoder(base, four_bits()),
                    "here: tensor 'model.layers.1.mlp.up_proj.weight': a weight is not finite, "
                    "so it cannot be quantised");
  CHECK_NOTHROW(build_decoder(base, at::kFloat));
}
