// Forward and backward against transformers, for every family and rotary scaling.
#include <ATen/core/Tensor.h>
#include <torch/csrc/autograd/autograd.h>

#include "models/objectives/causal_lm.h"
#include "tests/catch.h"
#include "tests/parity/golden.h"

using namespace lathe;

TEST_CASE("logits, loss and every gradient are transformers'") {
  for (const std::string& name : golden::names()) {
    INFO(name);
    const golden::Golden golden = golden::load(name);
    const auto decoder = build_decoder(golden.bundle, at::kFloat);
    const Batch batch = golden.batch();
    CHECK(golden::error_of(golden::logits_of(*decoder, batch), golden.tensor("logits")) < golden::kTolerance);

    const ObjectiveValue loss = causal_lm_loss(*decoder, batch, {});
    const double mean = loss.sum.item<double>() / static_cast<double>(loss.count);
    CHECK(mean == Approx(golden.tensor("losses")[0].item<double>()).epsilon(golden::kTolerance));

    loss.sum.backward();
    const auto wanted = golden.internal("gradient");
    const auto parameters = decoder->named_parameters();
    REQUIRE(wanted.size() == parameters.size());
    for (const auto& item : parameters) {
      INFO(item.name);
      const at::Tensor found = item.tensor.grad() / static_cast<double>(loss.count);
      CHECK(golden::error_of(found, wanted.at(item.name)) < golden::kTolerance);
      // Nothing would be proved by gradients that are zero; a key bias without rotary has none.
      const bool invisible = name == "gpt2" && item.name.find("k_proj.bias") != std::string::npos;
      CHECK((wanted.at(item.name).abs().max().item<double>() > 1e-4) != invisible);
    }
  }
}

TEST_CASE("token losses add up to the loss") {
  const golden::Golden golden = golden::load("llama_gqa");
  const auto decoder = build_decoder(golden.bundle, at::kFloat);
  const Batch batch = golden.batch();
  const at::Tensor losses = token_losses(*decoder, batch);
  const double mean = losses.sum().item<double>() / static_cast<double>(batch.target_count);
  CHECK(mean == Approx(golden.tensor("losses")[0].item<double>()).epsilon(1e-6));
  for (std::size_t i = 0; i < batch.targets.size(); ++i) {
    if (batch.targets[i] == kIgnoreTarget) CHECK(losses[i].item<double>() == 0);
  }
}

TEST_CASE("the cache gives transformers' logits at every position") {
  for (const std::string& name : golden::names()) {
    if (name == "llama_dynamic" || name == "llama_longrope")
      continue;  // angles by the length so far, by definition
    INFO(name);
    const golden::Golden golden = golden::load(name);
    const auto decoder = build_decoder(golden.bundle, at::kFloat);
    const at::Tensor tokens = golden.tensor("input_ids"), wanted = golden.tensor("logits");
    KvCache cache(golden.bundle.spec, tokens.size(0), 8, at::kFloat);
    for (std::int64_t i = 0; i < tokens.size(1); ++i) {
      const at::Tensor logits = decoder->forward_cached(tokens.narrow(1, i, 1), cache);
      CHECK(golden::error_of(logits, wanted.select(1, i)) < golden::kTolerance);
    }
  }
}

TEST_CASE("bf16 stays near transformers' fp32 loss") {
  for (const std::string& name : golden::names()) {
    INFO(name);
    const golden::Golden golden = golden::load(name);
    const auto decoder = build_decoder(golden.bundle, at::kBFloat16);
    const ObjectiveValue loss = causal_lm_loss(*decoder, golden.batch(), {});
    const double mean = loss.sum.item<double>() / static_cast<double>(loss.count);
    CHECK(mean == Approx(golden.tensor("losses")[0].item<double>()).epsilon(1e-2));
  }
}
