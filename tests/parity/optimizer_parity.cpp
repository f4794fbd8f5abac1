// Training steps against torch.optim.AdamW on transformers' gradients.
#include <ATen/core/Tensor.h>

#include "models/objectives/causal_lm.h"
#include "tests/catch.h"
#include "tests/parity/golden.h"
#include "trainer/optim/optimizer.h"

using namespace lathe;

namespace {

std::vector<Parameter> parameters_of(Decoder& decoder) {
  std::vector<std::pair<std::string, at::Tensor>> named;
  for (const auto& item : decoder.named_parameters()) named.emplace_back(item.name, item.tensor);
  return make_parameters(named);
}

}  // namespace

TEST_CASE("three AdamW steps and ten losses are PyTorch's") {
  OptimizerSection section;  // the constants of scripts/make_golden.py
  section.name = "adamw";
  section.learning_rate = 1e-2;
  section.beta1 = 0.9;
  section.beta2 = 0.95;
  section.eps = 1e-8;
  section.weight_decay = 0.1;
  for (const std::string& name : golden::names()) {
    INFO(name);
    const golden::Golden golden = golden::load(name);
    const auto decoder = build_decoder(golden.bundle, at::kFloat);
    const Batch batch = golden.batch();
    auto parameters = parameters_of(*decoder);
    const auto optimizer = make_optimizer(section, parameters, 0);
    const at::Tensor losses = golden.tensor("losses");
    const auto stepped = golden.internal("stepped");
    for (int step = 0; step < 10; ++step) {
      const ObjectiveValue loss = causal_lm_loss(*decoder, batch, {});
      const auto count = static_cast<double>(loss.count);
      CHECK(loss.sum.item<double>() / count == Approx(losses[step].item<double>()).epsilon(1e-4));
      loss.sum.backward();
      StepOptions options;
      options.gradient_scale = 1 / count;
      optimizer->step(parameters, options);
      clear_gradients(parameters);
      if (step != 2) continue;
      for (const Parameter& p : parameters) {
        INFO(p.name);
        // Adam's first steps are signs: where the gradient is rounding noise (a GPT-2 key bias) they are
        // noise too.
        const bool noise = name == "gpt2" && p.name.find("k_proj.bias") != std::string::npos;
        if (!noise) CHECK(golden::error_of(p.weight.detach(), stepped.at(p.name)) < 1e-4);
      }
    }
  }
}
