#include <ATen/core/Tensor.h>
#include <ATen/Context.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/linalg_svd.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>

#include "tests/catch.h"
#include "trainer/optim/muon.h"

using namespace lathe;

TEST_CASE("Newton-Schulz brings singular values near 1 and keeps the directions", "[optim]") {
  at::manual_seed(30);
  for (const auto& [rows, columns] : std::vector<std::pair<int, int>>{{64, 64}, {32, 96}, {96, 32}}) {
    const at::Tensor matrix = at::randn({rows, columns});
    const at::Tensor found = orthogonalise(matrix).to(at::kFloat);
    REQUIRE(found.sizes() == matrix.sizes());
    const auto [u, s, v] = at::linalg_svd(found, /*full_matrices=*/false);
    CHECK(s.max().item<double>() < 1.3);
    CHECK(s.mean().item<double>() == Approx(0.9).margin(0.2));
    if (rows != columns) CHECK(s.min().item<double>() > 0.6);
    const auto [mu, ms, mv] = at::linalg_svd(matrix, false);
    const at::Tensor nearest = at::mm(mu, mv);  // the orthogonal factor
    const double cosine = ((found * nearest).sum() / (found.norm() * nearest.norm())).item<double>();
    CHECK(cosine > 0.95);
  }
}

TEST_CASE("Muon's first step is the orthogonalised gradient, scaled and decayed", "[optim]") {
  at::manual_seed(31);
  const OptimizerSection section{
      .name = "muon", .learning_rate = 1e-2, .weight_decay = 0.5, .muon_learning_rate = 0.02};
  const at::Tensor initial = at::randn({64, 16}), gradient = at::randn({64, 16});
  auto parameters =
      make_parameters({{"model.layers.0.mlp.up_proj.weight", initial.clone().set_requires_grad(true)}});
  parameters[0].weight.mutable_grad() = gradient;
  make_optimizer(section, parameters, 0)->step(parameters, {.learning_rate_scale = 0.5, .gradient_scale = 1});
  // 64 rows over 16 columns: times 2. The momentum and Nesterov mix are multiples of the first gradient.
  const at::Tensor wanted =
      initial * (1 - 5e-3 * 0.5) - 0.01 * 2 * orthogonalise(gradient, initial.scalar_type()).to(at::kFloat);
  CHECK((parameters[0].weight.detach() - wanted).abs().max().item<double>() < 4e-4);
}

TEST_CASE("Muon leaves embeddings and norms to AdamW and keeps one buffer for a matrix", "[optim]") {
  auto parameters =
      make_parameters({{"model.embed_tokens.weight", at::ones({8, 4}).set_requires_grad(true)},
                       {"model.layers.0.input_layernorm.weight", at::ones({4}).set_requires_grad(true)},
                       {"model.layers.0.self_attn.q_proj.weight", at::ones({4, 4}).set_requires_grad(true)}});
  std::vector<std::string> names;
  for (const BundleTensor& tensor : make_optimizer({.name = "muon"}, parameters, 0)->state())
    names.push_back(tensor.name);
  CHECK(names == std::vector<std::string>{"momentum.model.layers.0.self_attn.q_proj.weight", "step",
                                          "exp_avg.model.embed_tokens.weight",
                                          "exp_avg_sq.model.embed_tokens.weight",
                                          "exp_avg.model.layers.0.input_layernorm.weight",
                                          "exp_avg_sq.model.layers.0.input_layernorm.weight"});
}

TEST_CASE("Muon writes bf16 weights from fp32 masters", "[optim]") {
  at::manual_seed(32);
  auto parameters = make_parameters(
      {{"model.layers.0.mlp.up_proj.weight", at::randn({16, 16}).to(at::kBFloat16).set_requires_grad(true)}});
  const at::Tensor before = parameters[0].master.clone();
  const auto optimizer = make_optimizer({.name = "muon"}, parameters, 0);
  parameters[0].weight.mutable_grad() = at::randn({16, 16}).to(at::kBFloat16);
  optimizer->step(parameters, {});
  CHECK_FALSE(at::equal(parameters[0].master, before));
  CHECK(at::equal(parameters[0].weight.detach(), parameters[0].master.to(at::kBFloat16)));
}
