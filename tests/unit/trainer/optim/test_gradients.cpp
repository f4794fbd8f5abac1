#include <ATen/core/Tensor.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <cmath>

#include "recipes/schema/error.h"
#include "tests/catch.h"
#include "trainer/optim/optimizer.h"

using namespace lathe;

namespace {

std::vector<Parameter> two(at::ScalarType type) {
  return make_parameters({{"a", at::zeros({2}, type).set_requires_grad(true)},
                          {"b", at::zeros({70000}, type).set_requires_grad(true)}});
}

}  // namespace

TEST_CASE("the gradient norm is that of all gradients together", "[optim]") {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    auto parameters = two(type);
    CHECK(gradient_norm(parameters, 1) == 0);
    parameters[0].weight.mutable_grad() = at::tensor({3.0F, 4.0F}).to(type);
    CHECK(gradient_norm(parameters, 1) == 5);
    CHECK(gradient_norm(parameters, 0.5) == 2.5);
    parameters[1].weight.mutable_grad() = at::full({70000}, 2.0).to(type);
    CHECK(gradient_norm(parameters, 1) == Approx(std::sqrt(25 + 280000.0)).epsilon(1e-14));
    parameters[1].weight.mutable_grad()[69999].fill_(INFINITY);
    CHECK(std::isinf(gradient_norm(parameters, 1)));
    parameters[1].weight.mutable_grad()[0].fill_(NAN);
    CHECK(std::isnan(gradient_norm(parameters, 1)));
  }
}

TEST_CASE("micro-batches' bf16 gradients add up in fp32", "[optim]") {
  auto parameters = two(at::kBFloat16);
  for (int i = 0; i < 300; ++i) {  // a bf16 sum would stop at 256
    for (Parameter& p : parameters) p.weight.mutable_grad() = at::ones(p.weight.sizes(), at::kBFloat16);
    accumulate_gradients(parameters);
    CHECK_FALSE(parameters[0].weight.grad().defined());
  }
  CHECK(parameters[0].gradient.scalar_type() == at::kFloat);
  CHECK(at::equal(parameters[0].gradient, at::full({2}, 300.0)));
  CHECK(at::equal(parameters[1].gradient, at::full({70000}, 300.0)));
  CHECK(gradient_of(parameters[0]).is_same(parameters[0].gradient));
  clear_gradients(parameters);
  CHECK_FALSE(gradient_of(parameters[0]).defined());
}

TEST_CASE("parameters are fp32 or bf16", "[optim]") {
  CHECK_THROWS_AS(make_parameters({{"x", at::zeros({2}, at::kDouble)}}), Error);
}
