#include <ATen/core/Tensor.h>
#include <ATen/Context.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/linspace.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <torch/csrc/autograd/autograd.h>

#include "recipes/schema/error.h"
#include "tests/catch.h"
#include "tests/unit/models/adapters/formula.h"

using namespace lathe;
using formula::relative_error;

namespace {

struct Variant {
  const char* name;
  AdapterSpec spec;
  double scaling;
};

std::vector<Variant> variants() {
  const auto spec = [](AdapterKind kind, std::int64_t rank, double alpha, bool stabilised) {
    AdapterSpec s;
    s.kind = kind, s.rank = rank, s.alpha = alpha, s.rank_stabilised = stabilised;
    return s;
  };
  return {{"lora", spec(AdapterKind::Lora, 4, 10, false), 2.5},
          {"rslora", spec(AdapterKind::Lora, 4, 10, true), 5},
          {"dora", spec(AdapterKind::Dora, 4, 10, false), 2.5},
          {"dora, stabilised, rank 1", spec(AdapterKind::Dora, 1, 3, true), 3}};
}

formula::Parts parts_of(const Linear& linear, const at::Tensor& x) {
  const Adapter& adapter = *linear.adapter();
  return {formula::leaf(x),         formula::leaf(linear.weight), formula::leaf(linear.bias),
          formula::leaf(adapter.a), formula::leaf(adapter.b),     formula::leaf(adapter.magnitude)};
}

std::vector<at::Tensor> wanted(const formula::Parts& p, double scaling) {
  std::vector<at::Tensor> inputs = {p.x, p.a, p.b};
  if (p.magnitude.defined()) inputs.push_back(p.magnitude);
  return formula::values_and_gradients(formula::output(p, scaling), inputs);
}

void check_all(const std::vector<at::Tensor>& found, const std::vector<at::Tensor>& right) {
  REQUIRE(found.size() == right.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    INFO("value " << i << " of y, x, A, B, m");
    CHECK(found[i].sizes() == right[i].sizes());
    CHECK(relative_error(found[i], right[i]) < 5e-6);
  }
}

}  // namespace

TEST_CASE("the scaling is alpha / r, or alpha / sqrt(r) when stabilised") {
  for (const Variant& v : variants()) CHECK(v.spec.scaling() == v.scaling);
}

TEST_CASE("an adapted linear and its gradients are the published formulas") {
  for (const Variant& v : variants()) {
    for (const bool bias : {false, true}) {
      INFO(v.name << (bias ? " with bias" : ""));
      at::manual_seed(21);
      const auto linear = formula::random_linear(v.spec, 24, 17, bias);
      const at::Tensor x = at::randn({31, 24}).requires_grad_();
      std::vector<at::Tensor> inputs = {x};
      for (const at::Tensor& t : formula::trained(*linear)) inputs.push_back(t);
      const auto right = wanted(parts_of(*linear, x), v.scaling);
      check_all(formula::values_and_gradients(linear->forward(x), inputs), right);
      // Half the factor, or none of DoRA's norms, must be seen.
      AdapterSpec other = v.spec;
      other.alpha *= 0.5;
      CHECK(relative_error(formula::output(parts_of(*linear, x), other.scaling()), right[0]) > 1e-3);
    }
  }
}

TEST_CASE("a zero B changes no bit of a product, alone and in a group") {
  const at::NoGradGuard no_grad;
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    at::manual_seed(24);
    const auto one = [&](std::int64_t out) {
      const auto linear = std::make_shared<Linear>(48, out, false, dtype);
      linear->weight.normal_(0, 0.2);
      return linear;
    };
    const auto q = one(32), k = one(16);
    const at::Tensor x = at::randn({37, 48}).to(dtype);
    const LinearGroup group({q, k});
    const auto wanted = group.forward(x);
    const at::Tensor alone = q->forward(x);
    AdapterSpec spec;
    spec.rank = 4;
    q->adapt(std::make_shared<Adapter>(spec, q->weight, 5, 0));
    const auto found = group.forward(x);
    CHECK(at::equal(found[0], wanted[0]));
    CHECK(at::equal(found[1], wanted[1]));
    CHECK(at::equal(q->forward(x), alone));
    q->adapter()->b.fill_(0.5);
    CHECK_FALSE(at::equal(group.forward(x)[0], wanted[0]));
    CHECK(at::equal(group.forward(x)[1], wanted[1]));
  }
}

TEST_CASE("DoRA by hand: a row of norm 5 with magnitude 10 is twice itself") {
  AdapterSpec spec;
  spec.kind = AdapterKind::Dora;
  spec.rank = 1;
  spec.alpha = 1;
  const at::NoGradGuard no_grad;
  const auto linear = std::make_shared<Linear>(2, 2, false, at::kFloat);
  linear->weight.copy_(at::tensor({3.f, 0.f, 0.f, 2.f}).view({2, 2}));
  linear->adapt(std::make_shared<Adapter>(spec, linear->weight, 1, 0));
  CHECK(at::equal(linear->adapter()->magnitude, at::tensor({3.f, 2.f})));  // the weight's own norms
  linear->adapter()->a.copy_(at::tensor({0.f, 2.f}).view({1, 2}));
  linear->adapter()->b.copy_(at::tensor({2.f, 0.f}).view({2, 1}));  // V = (3 4; 0 2)
  linear->adapter()->magnitude.copy_(at::tensor({10.f, 2.f}));
  const at::Tensor right = at::tensor({6.f, 8.f, 0.f, 2.f}).view({2, 2});
  CHECK(at::allclose(linear->adapter()->merged(linear->weight), right, 1e-6));
  CHECK(at::allclose(linear->forward(at::eye(2)), right.t(), 1e-6));
}

TEST_CASE("grouped projections of which some parts are adapted") {
  for (const Variant& v : variants()) {
    for (const bool bias : {false, true}) {
      for (const unsigned adapted : {1u, 4u, 5u, 7u}) {
        INFO(v.name << (bias ? " with bias, parts " : ", parts ") << adapted);
        at::manual_seed(22);
        std::vector<std::shared_ptr<Linear>> parts;
        for (unsigned i = 0; i < 3; ++i) {
          if (adapted >> i & 1u)
            parts.push_back(formula::random_linear(v.spec, 24, i ? 16 : 32, bias));
          else
            parts.push_back(std::make_shared<Linear>(24, i ? 16 : 32, bias, at::kFloat));
          if (adapted >> i & 1u) continue;
          for (at::Tensor& p : parts.back()->parameters())
            p.detach().normal_(0, 0.4).set_requires_grad(false);
          for (at::Tensor& p : parts.back()->parameters()) p.set_requires_grad(false);
        }
        const LinearGroup group(parts);
        CHECK_FALSE(group.plain());
        const at::Tensor x = at::randn({31, 24}).requires_grad_();
        const auto outs = group.forward(x);
        for (unsigned i = 0; i < 3; ++i) {
          if (adapted >> i & 1u) {
            std::vector<at::Tensor> inputs = {x};
            for (const at::Tensor& t : formula::trained(*parts[i])) inputs.push_back(t);
            const at::Tensor ramp = at::linspace(-1, 1, outs[i].numel()).view(outs[i].sizes());
            std::vector<at::Tensor> found = {outs[i]};
            for (const auto& g : torch::autograd::grad({outs[i]}, inputs, {ramp}, /*retain_graph=*/true))
              found.push_back(g);
            check_all(found, wanted(parts_of(*parts[i], x), v.scaling));
          } else {
            const at::Tensor plain = at::linear(x, parts[i]->weight, parts[i]->bias);
            CHECK(relative_error(outs[i], plain) < 5e-6);
          }
        }
      }
    }
  }
}

TEST_CASE("merged and unmerged forward agree, and merging uses the fp32 value of a bf16 weight") {
  for (const Variant& v : variants()) {
    INFO(v.name);
    at::manual_seed(23);
    const at::NoGradGuard no_grad;
    const auto linear = formula::random_linear(v.spec, 40, 33, true);
    const at::Tensor x = at::randn({12, 40});
    const at::Tensor merged = linear->adapter()->merged(linear->weight);
    CHECK(relative_error(linear->forward(x), at::linear(x, merged, linear->bias)) < 5e-6);
    const at::Tensor rounded = linear->weight.to(at::kBFloat16);
    const at::Tensor wide = linear->adapter()->merged(rounded);
    CHECK(wide.scalar_type() == at::kFloat);
    CHECK(at::equal(wide, linear->adapter()->merged(rounded.to(at::kFloat))));
    CHECK_FALSE(at::equal(wide, merged));
  }
}

TEST_CASE("a new adapter: A uniform within 1 / sqrt(in), B zero, a function of seed and site") {
  AdapterSpec spec;
  spec.rank = 16;
  const at::Tensor weight = at::randn({50, 64});
  const Adapter one(spec, weight, 9, 3), same(spec, weight, 9, 3), site(spec, weight, 9, 4),
      seed(spec, weight, 8, 3);
  CHECK(at::equal(one.a, same.a));
  CHECK_FALSE(at::equal(one.a, site.a));
  CHECK_FALSE(at::equal(one.a, seed.a));
  CHECK(one.b.abs().max().item<float>() == 0);
  CHECK(one.a.abs().max().item<double>() <= 0.125);
  CHECK(one.a.abs().max().item<double>() > 0.12);
  CHECK(std::abs(one.a.mean().item<double>()) < 0.01);
  CHECK(one.a.std().item<double>() == Approx(0.125 / std::sqrt(3.0)).epsilon(0.05));
  spec.rank = 51;
  CHECK_THROWS_WITH(Adapter(spec, weight, 9, 3),
                    lathe::testing::contains_text("adapter.rank 51 is more than a matrix of 50 x 64 has"));
}
