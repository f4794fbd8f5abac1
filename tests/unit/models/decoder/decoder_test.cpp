#include "models/decoder/decoder.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/equal.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/function_hook.h>

#include <cmath>

#include "models/objectives/causal_lm.h"
#include "recipes/schema/error.h"
#include "tests/catch.h"
#include "tests/unit/models/decoder/tiny.h"

using namespace lathe;
using tiny::largest_difference;

namespace {

std::vector<at::Tensor> gradients(Decoder& decoder, const Batch& batch, const RunOptions& options) {
  const at::Tensor loss = causal_lm_loss(decoder, batch, options).sum;
  return torch::autograd::grad({loss}, decoder.parameters());
}

// The hidden states of one document alone in its own row.
at::Tensor alone(Decoder& decoder, const Batch& batch, const Stretch& stretch) {
  DecoderInput input = decoder_input(batch);
  input.tokens = input.tokens.narrow(0, stretch.begin, stretch.length);
  input.positions = input.positions.narrow(0, stretch.begin, stretch.length);
  input.stretches = {{0, stretch.length, stretch.document, stretch.position}};
  input.rows = 1;
  input.length = stretch.length;
  return decoder.forward(input);
}

struct CountingHook : torch::autograd::PostAccumulateGradHook {
  explicit CountingHook(int& n) : count(n) {}
  void operator()(const torch::autograd::Variable&) override { ++count; }
  int& count;
};

double largest_norm(const std::vector<at::Tensor>& tensors) {
  double largest = 0;
  for (const at::Tensor& t : tensors) largest = std::max(largest, t.norm().item<double>());
  return largest;
}

}  // namespace

TEST_CASE("parameters are those of the spec, in its order") {
  for (const DecoderSpec& spec : {tiny::llama_spec(), tiny::gpt2_spec(), tiny::gemma_spec()}) {
    const Decoder decoder(spec, at::kBFloat16);
    const auto wanted = decoder_parameters(spec);
    const auto found = decoder.named_parameters();
    REQUIRE(found.size() == wanted.size());
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      CHECK(found[i].name == wanted[i].name);
      CHECK(found[i].tensor.sizes() == at::IntArrayRef(wanted[i].shape));
      CHECK(found[i].tensor.scalar_type() == at::kBFloat16);
      CHECK(found[i].tensor.is_leaf());
    }
  }
}

TEST_CASE("a document in a packed row sees only itself") {
  for (const DecoderSpec& spec : {tiny::llama_spec(), tiny::gpt2_spec(), tiny::gemma_spec()}) {
    for (const auto dtype : {at::kFloat, at::kBFloat16}) {
      const auto decoder = tiny::random_decoder(spec, dtype);
      const at::NoGradGuard no_grad;
      Batch batch = tiny::make_batch({{9, 14, 5}, {20}}, 30, spec.vocab_size);
      const at::Tensor before = decoder->forward(decoder_input(batch));
      for (int i = 0; i < 9; ++i)
        batch.tokens[i] = (batch.tokens[i] + 1) % 61;  // every token of the first document
      const at::Tensor after = decoder->forward(decoder_input(batch));
      CHECK_FALSE(at::equal(before.narrow(0, 0, 9), after.narrow(0, 0, 9)));
      CHECK(at::equal(before.narrow(0, 9, 19), after.narrow(0, 9, 19)));
      CHECK(at::equal(before.narrow(0, 30, 20), after.narrow(0, 30, 20)));
    }
  }
}

TEST_CASE("packed documents equal separate ones") {
  for (const DecoderSpec& spec : {tiny::llama_spec(), tiny::gpt2_spec(), tiny::gemma_spec()}) {
    const auto decoder = tiny::random_decoder(spec);
    const at::NoGradGuard no_grad;
    const Batch batch = tiny::make_batch({{9, 14, 5}, {20}, {30}}, 30, spec.vocab_size);
    const at::Tensor packed = decoder->forward(decoder_input(batch));
    for (const Stretch& stretch : batch.stretches) {
      CHECK(largest_difference(packed.narrow(0, stretch.begin, stretch.length),
                               alone(*decoder, batch, stretch)) < 1e-5);
    }
  }
}

TEST_CASE("later tokens do not reach earlier ones") {
  const auto decoder = tiny::random_decoder(tiny::llama_spec());
  const at::NoGradGuard no_grad;
  Batch batch = tiny::make_batch({{24}}, 24, 61);
  const at::Tensor before = decoder->forward(decoder_input(batch));
  batch.tokens[16] = (batch.tokens[16] + 1) % 61;
  const at::Tensor after = decoder->forward(decoder_input(batch));
  CHECK(largest_difference(before.narrow(0, 0, 16), after.narrow(0, 0, 16)) == 0);
  CHECK(largest_difference(before.narrow(0, 16, 8), after.narrow(0, 16, 8)) > 1e-2);
}

TEST_CASE("activation checkpointing changes no bit") {
  for (const DecoderSpec& spec : {tiny::llama_spec(), tiny::gpt2_spec(), tiny::gemma_spec()}) {
    const auto decoder = tiny::random_decoder(spec);
    const Batch batch = tiny::make_batch({{9, 14, 5}, {20}}, 30, spec.vocab_size);
    RunOptions options;
    options.training = true;
    options.dropout = 0.2;
    options.step = 4;
    const auto plain = gradients(*decoder, batch, options);
    options.activation_checkpointing = true;
    const auto again = gradients(*decoder, batch, options);
    REQUIRE(plain.size() == again.size());
    for (std::size_t i = 0; i < plain.size(); ++i) CHECK(at::equal(plain[i], again[i]));
    options.step = 5;  // another mask: the comparison above can fail
    CHECK_FALSE(at::equal(plain.back(), gradients(*decoder, batch, options).back()));
  }
}

TEST_CASE("checkpointed blocks leave each gradient to be accumulated once") {
  DecoderSpec spec = tiny::llama_spec();
  spec.tie_embeddings = true;  // two contributions, one accumulation
  const auto decoder = tiny::random_decoder(spec);
  const Batch batch = tiny::make_batch({{20}}, 20, 61);
  const auto parameters = decoder->parameters();
  std::vector<int> fired(parameters.size(), 0);
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    torch::autograd::impl::set_post_acc_grad_hooks(parameters[i], std::make_unique<CountingHook>(fired[i]));
  }
  RunOptions options;
  options.training = options.activation_checkpointing = true;
  causal_lm_loss(*decoder, batch, options).sum.backward();
  for (const int times : fired) CHECK(times == 1);
}

TEST_CASE("gradients agree with central differences of the loss") {
  DecoderSpec gated = tiny::llama_spec(), plain = tiny::llama_spec();
  gated.activation = Activation::GeluTanh;
  gated.norm_bias = true;
  plain.mlp = MlpKind::Plain;
  plain.tie_embeddings = true;
  for (const DecoderSpec& spec : {tiny::llama_spec(), tiny::gpt2_spec(), tiny::gemma_spec(), gated, plain}) {
    const auto decoder = tiny::random_decoder(spec);
    const Batch batch = tiny::make_batch({{9, 14}}, 24, spec.vocab_size);
    const auto parameters = decoder->parameters();
    const auto analytic = gradients(*decoder, batch, {});
    const double margin =
        1e-4 * largest_norm(analytic);  // a key bias without rotary changes nothing: slope 0
    const at::NoGradGuard no_grad;
    const auto loss = [&] { return token_losses(*decoder, batch).to(at::kDouble).sum().item<double>(); };
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      // Along the gradient itself the slope is its norm.
      const at::Tensor direction = analytic[i] / analytic[i].norm();
      const at::Tensor saved = parameters[i].clone();
      const double h = spec.sandwich_norms ? 5e-3 : 2e-2;  // steeper, and caps bend it
      parameters[i].copy_(saved + h * direction);
      const double up = loss();
      parameters[i].copy_(saved - h * direction);
      const double down = loss();
      parameters[i].copy_(saved);
      CHECK((up - down) / (2 * h) == Approx(analytic[i].norm().item<double>()).epsilon(2e-2).margin(margin));
    }
  }
}

TEST_CASE("frozen parameters change no other gradient") {
  for (const DecoderSpec& spec : {tiny::llama_spec(), tiny::gpt2_spec(), tiny::gemma_spec()}) {
    const auto decoder = tiny::random_decoder(spec);
    const Batch batch = tiny::make_batch({{9, 14}}, 24, spec.vocab_size);
    const auto all = gradients(*decoder, batch, {});
    for (auto& item : decoder->named_parameters()) {  // what is left: v_proj and the norms
      const bool trained =
          item.name.find("v_proj") != std::string::npos || item.name.find("norm") != std::string::npos;
      item.tensor.set_requires_grad(trained);
    }
    for (const bool checkpointing : {false, true}) {
      RunOptions options;
      options.training = true;
      options.activation_checkpointing = checkpointing;
      for (at::Tensor& parameter : decoder->parameters()) parameter.mutable_grad() = at::Tensor();
      causal_lm_loss(*decoder, batch, options).sum.backward();
      const auto parameters = decoder->parameters();
      for (std::size_t i = 0; i < parameters.size(); ++i) {
        REQUIRE(parameters[i].grad().defined() == parameters[i].requires_grad());
        if (parameters[i].requires_grad()) CHECK(largest_difference(parameters[i].grad(), all[i]) < 1e-4);
      }
    }
  }
}

TEST_CASE("bf16 follows fp32") {
  for (const DecoderSpec& spec : {tiny::llama_spec(), tiny::gpt2_spec(), tiny::gemma_spec()}) {
    const auto narrow = tiny::random_decoder(spec, at::kBFloat16);
    const auto wide = std::make_shared<Decoder>(spec, at::kFloat);
    const Batch batch = tiny::make_batch({{9, 14, 5}, {20}}, 30, spec.vocab_size);
    {
      const at::NoGradGuard no_grad;
      const auto from = narrow->parameters(), to = wide->parameters();
      for (std::size_t i = 0; i < from.size(); ++i) to[i].copy_(from[i]);
    }
    const double a = causal_lm_loss(*narrow, batch, {}).sum.item<double>();
    const double b = causal_lm_loss(*wide, batch, {}).sum.item<double>();
    CHECK(a == Approx(b).epsilon(2e-2));
    const auto rough = gradients(*narrow, batch, {}), exact = gradients(*wide, batch, {});
    const double largest = largest_norm(exact);
    for (std::size_t i = 0; i < rough.size(); ++i) {
      const double error = (rough[i].to(at::kFloat) - exact[i]).norm().item<double>();
      CHECK(error < 0.1 * exact[i].norm().item<double>() + 1e-3 * largest);
    }
  }
}

TEST_CASE("a document longer than the learned positions is refused") {
  const auto decoder = tiny::random_decoder(tiny::gpt2_spec());
  const Batch batch = tiny::make_batch({{65}}, 65, 61);
  CHECK_THROWS_WITH(decoder->forward(decoder_input(batch)), lathe::testing::contains_text("65 tokens"));
}
