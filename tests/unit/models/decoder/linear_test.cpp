#include "models/layers/linear.h"

#include <ATen/core/Tensor.h>
#include <ATen/Context.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/linspace.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/autograd.h>

#include "models/layers/embedding.h"
#include "models/layers/projections.h"
#include "models/layers/weight_gradient.h"
#include "models/ops/ops.h"
#include "recipes/schema/error.h"
#include "tests/catch.h"
#include "tests/unit/models/decoder/tiny.h"

using namespace lathe;
using tiny::largest_difference;

namespace {

std::vector<std::shared_ptr<Linear>> random_parts(const std::vector<std::int64_t>& widths, bool bias,
                                                  at::ScalarType dtype) {
  const at::NoGradGuard no_grad;
  at::manual_seed(11);
  std::vector<std::shared_ptr<Linear>> parts;
  for (const std::int64_t width : widths) {
    parts.push_back(std::make_shared<Linear>(24, width, bias, dtype));
    for (at::Tensor& p : parts.back()->parameters()) p.normal_(0, 0.3);
  }
  return parts;
}

// Gradients of sum(outs * ramps) with respect to x and every parameter.
std::vector<at::Tensor> gradients(const std::vector<at::Tensor>& outs, const at::Tensor& x,
                                  const std::vector<std::shared_ptr<Linear>>& parts) {
  std::vector<at::Tensor> inputs = {x}, weights;
  for (const auto& part : parts) {
    for (const at::Tensor& p : part->parameters()) inputs.push_back(p);
  }
  for (const at::Tensor& out : outs)
    weights.push_back(at::linspace(-1, 1, out.numel()).view(out.sizes()).to(out.dtype()));
  return torch::autograd::grad(outs, inputs, weights);
}

void check_same(const std::vector<at::Tensor>& found, const std::vector<at::Tensor>& wanted,
                double tolerance) {
  REQUIRE(found.size() == wanted.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    const double scale = wanted[i].to(at::kFloat).abs().max().item<double>();
    CHECK(largest_difference(found[i], wanted[i]) <= tolerance * scale);
    CHECK(found[i].sizes() == wanted[i].sizes());
  }
}

}  // namespace

TEST_CASE("a group of linears is its parts") {
  for (const bool bias : {false, true}) {
    for (const auto dtype : {at::kFloat, at::kBFloat16}) {
      const double tolerance = dtype == at::kFloat ? 1e-5 : 2e-2;
      const auto apart = random_parts({32, 16, 16}, bias, dtype),
                 together = random_parts({32, 16, 16}, bias, dtype);
      const LinearGroup group(together);
      const at::Tensor x = at::randn({37, 24}).to(dtype).requires_grad_();
      std::vector<at::Tensor> outs;
      for (const auto& part : apart) outs.push_back(part->forward(x));
      const auto found = group.forward(x);
      check_same(found, outs, tolerance);
      check_same(gradients(found, x, together), gradients(outs, x, apart), tolerance);
      const auto unused =
          gradients({group.forward(x)[1]}, x, {together[1]});  // the others' outputs go nowhere
      check_same(unused, gradients({apart[1]->forward(x)}, x, {apart[1]}), tolerance);
    }
  }
}

TEST_CASE("linear is x W^T + b with ATen's gradients") {
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    const auto part = random_parts({50}, true, dtype);
    const at::Tensor x = at::randn({70, 24}).to(dtype).requires_grad_();
    const at::Tensor found = part[0]->forward(x), wanted = at::linear(x, part[0]->weight, part[0]->bias);
    const double tolerance = dtype == at::kFloat ? 1e-5 : 2e-2;
    check_same({found}, {wanted}, tolerance);
    check_same(gradients({found}, x, part), gradients({wanted}, x, part), tolerance);
  }
}

TEST_CASE("parameters of a group see updates in place and refuse another storage") {
  const auto parts = random_parts({32, 16}, false, at::kFloat);
  const LinearGroup group(parts);
  const at::Tensor x = at::randn({5, 24});
  {
    const at::NoGradGuard no_grad;
    parts[1]->weight.fill_(1);
  }
  CHECK(largest_difference(group.forward(x)[1], x.sum(1, true).expand({5, 16})) < 1e-5);
  parts[0]->weight.set_data(parts[0]->weight.clone());
  CHECK_THROWS_AS(group.forward(x), Error);
}

TEST_CASE("projections are the product, then the operation") {
  for (const bool bias : {false, true}) {
    for (const auto dtype : {at::kFloat, at::kBFloat16}) {
      const double tolerance = dtype == at::kFloat ? 1e-5 : 3e-2;
      const at::Tensor x = at::randn({37, 24}).to(dtype).requires_grad_();
      const at::Tensor angles = at::randn({64, 4}), cos = angles.cos(), sin = angles.sin();
      const at::Tensor positions = at::randint(0, 64, {37}, at::kLong);
      const auto a = random_parts({32, 16, 16}, bias, dtype), b = random_parts({32, 16, 16}, bias, dtype);
      const QueryKeyValue t = project_rotary(LinearGroup(a), x, 4, 2, {cos, sin, positions});
      const auto turn = [&](std::size_t i, std::int64_t heads) {
        return rotary(b[i]->forward(x).unflatten(1, {heads, 8}), cos, sin, positions);
      };
      const std::vector<at::Tensor> wanted = {turn(0, 4), turn(1, 2), b[2]->forward(x).unflatten(1, {2, 8})};
      check_same({t.q, t.k, t.v}, wanted, tolerance);
      check_same(gradients({t.q, t.k, t.v}, x, a), gradients(wanted, x, b), tolerance);

      const auto c = random_parts({48, 48}, bias, dtype), d = random_parts({48, 48}, bias, dtype);
      const at::Tensor gated = project_swiglu(LinearGroup(c), x);
      const at::Tensor gated_wanted = swiglu(d[0]->forward(x), d[1]->forward(x));
      check_same({gated}, {gated_wanted}, tolerance);
      check_same(gradients({gated}, x, c), gradients({gated_wanted}, x, d), tolerance);
    }
  }
}

TEST_CASE("weight gradients at every shape") {
  at::manual_seed(1);
  for (const auto& [rows, out, in] : std::vector<std::tuple<int, int, int>>{
           {64, 32, 64}, {64, 96, 32}, {100, 33, 65}, {31, 70, 5}, {1, 3, 2}, {1024, 40, 40}}) {
    const at::Tensor g = at::randn({rows, out + 3}).to(at::kBFloat16).narrow(1, 0, out);  // rows apart
    const at::Tensor x = at::randn({rows, in}).to(at::kBFloat16);
    const at::Tensor wanted = at::mm(g.to(at::kFloat).t(), x.to(at::kFloat));
    const at::Tensor found = weight_gradient(g, x);
    CHECK(found.is_contiguous());
    CHECK(largest_difference(found, wanted) <= 8e-3 * wanted.abs().max().item<double>());
    CHECK(at::equal(weight_gradient(g.to(at::kFloat), x.to(at::kFloat)), wanted));
  }
}

TEST_CASE("a row's gradient is summed in fp32 over its occurrences") {
  Embedding table(7, 3, at::kBFloat16);
  const at::Tensor ids = at::tensor({2, 5, 2, 2}, at::kInt);
  const at::Tensor g =
      at::tensor({256.0, 0.0, 1.0, 9.0, 9.0, 9.0, 1.0, 0.0, 1.0, 1.0, 2.0, 1.0}).view({4, 3});
  const at::Tensor found =
      torch::autograd::grad({table.forward(ids)}, {table.weight}, {g.to(at::kBFloat16)})[0];
  at::Tensor wanted = at::zeros({7, 3});
  wanted[2] = at::tensor({258.0, 2.0, 3.0});  // added one by one in bf16 the first would stay 256
  wanted[5] = at::tensor({9.0, 9.0, 9.0});
  CHECK(at::equal(found.to(at::kFloat), wanted));
}
