#include <ATen/core/Tensor.h>
#include <ATen/Context.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/randn_like.h>
#include <ATen/ops/sin.h>
#include <ATen/ops/zeros_like.h>
#include <ATen/Parallel.h>

#include <cmath>

#include "models/decoder/weights.h"
#include "recipes/schema/error.h"
#include "tests/catch.h"
#include "trainer/optim/optimizer.h"

using namespace lathe;

namespace {

at::Tensor leaf(const at::Tensor& value) { return value.clone().set_requires_grad(true); }

std::vector<Parameter> one(const at::Tensor& value,
                           const std::string& name = "model.layers.0.mlp.up_proj.weight") {
  return make_parameters({{name, leaf(value)}});
}

void set_gradient(Parameter& parameter, const at::Tensor& gradient) {
  parameter.weight.mutable_grad() = gradient;
}

at::Tensor state_tensor(const Optimizer& optimizer, const std::string& name) {
  for (const BundleTensor& tensor : optimizer.state())
    if (tensor.name == name) return to_tensor(tensor);
  return {};
}

struct Fused {
  at::Tensor weight, exp_avg, exp_avg_sq;
};

}  // namespace

TEST_CASE("AdamW has the bits of ATen's fused kernel in fp32", "[optim]") {
  at::manual_seed(20);
  const int before = at::get_num_threads();
  at::set_num_threads(1);  // ATen's tail of each thread's share is rounded differently
  for (const double beta1 : {0.9, 0.4}) {
    const OptimizerSection section{.name = "adamw",
                                   .learning_rate = 3e-3,
                                   .weight_decay = 0.1,
                                   .beta1 = beta1,
                                   .beta2 = 0.95,
                                   .eps = 1e-8};
    const at::Tensor initial = at::randn({64, 256});
    auto parameters = one(initial);
    const auto optimizer = make_optimizer(section, parameters, 0);
    Fused fused{initial.clone(), at::zeros_like(initial), at::zeros_like(initial)};
    for (int step = 0; step < 5; ++step) {
      const at::Tensor gradient = at::randn_like(initial) * std::pow(10.0, step - 3);
      set_gradient(parameters[0], gradient.clone());
      optimizer->step(parameters, {.learning_rate_scale = 0.7, .gradient_scale = 1});
      at::_fused_adamw_({fused.weight}, {gradient}, {fused.exp_avg}, {fused.exp_avg_sq}, {},
                        {at::full({}, step + 1, at::kFloat)}, 3e-3 * 0.7, beta1, 0.95, 0.1, 1e-8,
                        /*amsgrad=*/false, /*maximize=*/false);
      INFO("beta1 " << beta1 << " step " << step);
      CHECK(at::equal(state_tensor(*optimizer, "exp_avg." + parameters[0].name), fused.exp_avg));
      CHECK(at::equal(state_tensor(*optimizer, "exp_avg_sq." + parameters[0].name), fused.exp_avg_sq));
      CHECK(at::equal(parameters[0].weight.detach(), fused.weight));
    }
  }
  at::set_num_threads(before);
}

TEST_CASE("AdamW equals its formula in double precision, odd sizes and bf16 gradients", "[optim]") {
  at::manual_seed(21);
  for (const std::int64_t size : {1, 7, 63, 64, 65, 40000}) {
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
      const OptimizerSection section{.name = "adamw",
                                     .learning_rate = 1e-2,
                                     .weight_decay = 0.2,
                                     .beta1 = 0.9,
                                     .beta2 = 0.99,
                                     .eps = 1e-6};
      auto parameters = one(at::randn({size, 1}).to(type));
      const auto optimizer = make_optimizer(section, parameters, 3);
      at::Tensor w = parameters[0].master.to(at::kDouble), m = at::zeros_like(w), v = at::zeros_like(w);
      for (int step = 4; step < 8; ++step) {
        const at::Tensor gradient = at::randn({size, 1}).to(type);
        set_gradient(parameters[0], gradient);
        optimizer->step(parameters, {.learning_rate_scale = 0.5, .gradient_scale = 0.25});
        const at::Tensor g = gradient.to(at::kDouble) * 0.25;
        m = 0.9 * m + 0.1 * g;
        v = 0.99 * v + 0.01 * g * g;
        const at::Tensor update =
            m / (1 - std::pow(0.9, step)) / ((v / (1 - std::pow(0.99, step))).sqrt() + 1e-6);
        w = w * (1 - 5e-3 * 0.2) - 5e-3 * update;
      }
      CHECK((parameters[0].master.to(at::kDouble) - w).abs().max().item<double>() < 2e-6);
      CHECK(at::equal(parameters[0].weight.detach(), parameters[0].master.to(type)));
    }
  }
}

TEST_CASE("bf16 weights move with their fp32 masters", "[optim]") {
  auto parameters = one(at::ones({8, 8}, at::kBFloat16));
  CHECK(parameters[0].master.scalar_type() == at::kFloat);
  const auto optimizer =
      make_optimizer({.name = "adamw", .learning_rate = 1e-4, .weight_decay = 0}, parameters, 0);
  for (int step = 0; step < 40; ++step) {  // each step is far below bf16's spacing at 1
    set_gradient(parameters[0], at::ones({8, 8}, at::kBFloat16));
    optimizer->step(parameters, {});
  }
  CHECK(parameters[0].master[0][0].item<double>() == Approx(1 - 40e-4).epsilon(1e-4));
  CHECK(parameters[0].weight.detach()[0][0].item<double>() == Approx(0.99609375));
}

TEST_CASE("norms and biases do not decay, matrices do; tied parameters appear once", "[optim]") {
  const at::Tensor embedding = leaf(at::ones({4, 4}));
  auto parameters = make_parameters({{"model.embed_tokens.weight", embedding},
                                     {"model.layers.0.input_layernorm.weight", leaf(at::ones({4}))},
                                     {"model.layers.0.self_attn.q_proj.weight", leaf(at::ones({4, 4}))},
                                     {"model.layers.0.self_attn.q_proj.bias", leaf(at::ones({4}))},
                                     {"lm_head.weight", embedding}});
  REQUIRE(parameters.size() == 4);
  CHECK((parameters[0].decay && !parameters[0].muon));
  CHECK((!parameters[1].decay && !parameters[1].muon));
  CHECK((parameters[2].decay && parameters[2].muon));
  CHECK((!parameters[3].decay && !parameters[3].muon));
  const auto optimizer =
      make_optimizer({.name = "adamw", .learning_rate = 0.1, .weight_decay = 0.5}, parameters, 0);
  for (Parameter& parameter : parameters) set_gradient(parameter, at::zeros_like(parameter.weight));
  optimizer->step(parameters, {});
  CHECK(parameters[0].master[0][0].item<double>() == Approx(0.95));
  CHECK(parameters[1].master[0].item<double>() == 1);
  CHECK(parameters[2].master[0][0].item<double>() == Approx(0.95));
  CHECK(parameters[3].master[0].item<double>() == 1);
}

TEST_CASE("a parameter without gradient, or frozen, stays", "[optim]") {
  auto parameters = one(at::ones({4, 4}));
  const auto optimizer = make_optimizer({.name = "adamw", .learning_rate = 0.1}, parameters, 0);
  optimizer->step(parameters, {});
  CHECK(at::equal(parameters[0].weight.detach(), at::ones({4, 4})));
  auto frozen = make_parameters({{"x", at::ones({4, 4})}});
  CHECK_FALSE(frozen[0].trainable);
  CHECK(make_optimizer({.name = "adamw"}, frozen, 0)->state().size() == 1);  // the step alone
}

TEST_CASE("AdamW gives the same bits with any number of threads", "[optim]") {
  const int before = at::get_num_threads();
  const at::Tensor initial = at::randn({300, 301}), gradient = at::randn({300, 301});
  std::vector<at::Tensor> results;
  std::vector<double> norms;
  for (const int threads : {1, 2, 3}) {
    at::set_num_threads(threads);
    auto parameters = one(initial);
    const auto optimizer = make_optimizer({.name = "adamw"}, parameters, 0);
    set_gradient(parameters[0], gradient);
    norms.push_back(gradient_norm(parameters, 1));
    optimizer->step(parameters, {});
    results.push_back(parameters[0].weight.detach());
  }
  at::set_num_threads(before);
  CHECK((at::equal(results[0], results[1]) && at::equal(results[0], results[2])));
  CHECK((norms[0] == norms[1] && norms[0] == norms[2]));
}

TEST_CASE("optimizer state is saved and loaded by name", "[optim]") {
  for (const char* name : {"adamw", "muon"}) {
    const OptimizerSection section{.name = name, .learning_rate = 1e-2};
    const auto both = [] {
      at::manual_seed(22);
      return make_parameters({{"model.norm.weight", leaf(at::randn({16}))},
                              {"model.layers.0.mlp.up_proj.weight", leaf(at::randn({16, 24}))}});
    };
    const auto gradients = [](std::vector<Parameter>& parameters, int step) {
      for (Parameter& p : parameters)
        set_gradient(p, at::sin(at::arange(p.weight.numel(), at::kFloat) * (step + 1.0)).view_as(p.weight));
    };
    auto whole = both(), split = both();
    const auto steady = make_optimizer(section, whole, 0);
    auto first = make_optimizer(section, split, 0);
    for (int step = 0; step < 2; ++step) {
      gradients(whole, step);
      gradients(split, step);
      steady->step(whole, {});
      first->step(split, {});
    }
    const auto second = make_optimizer(section, split, 2);
    second->load_state(first->state());
    gradients(whole, 2);
    gradients(split, 2);
    steady->step(whole, {});
    second->step(split, {});
    for (std::size_t i = 0; i < whole.size(); ++i)
      CHECK(at::equal(whole[i].weight.detach(), split[i].weight.detach()));
    auto state = first->state();
    CHECK(state.size() == (std::string(name) == "muon" ? 4U : 5U));
    const std::string dropped = state.back().name;
    state.pop_back();
    try {
      second->load_state(state);
      FAIL("a missing tensor was accepted");
    } catch (const Error& e) {
      CHECK(std::string(e.what()).find(dropped) != std::string::npos);
    }
    state = first->state();
    state[0].shape = {3};
    CHECK_THROWS_AS(second->load_state(state), Error);
  }
}
