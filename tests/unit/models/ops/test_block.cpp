#include <ATen/Context.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <ATen/Parallel.h>

#include <array>
#include <limits>

#include "models/ops/kernels.h"
#include "models/ops/ops.h"
#include "recipes/schema/error.h"
#include "tests/unit/models/ops/reference.h"

using namespace lathe;
using namespace lathe::test;

namespace {

at::Tensor plain_rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps) {
  return x / (x.pow(2).mean(-1, true) + eps).sqrt() * weight;
}

}  // namespace

TEST_CASE("rms_norm equals its formula in double precision", "[ops]") {
  at::manual_seed(1);
  for (const std::int64_t rows : {0, 1, 3, 1000}) {
    for (const std::int64_t channels : {1, 7, 63, 64, 65, 384}) {
      compare_both_types(
          "rms_norm", [](const Tensors& t) { return Tensors{rms_norm(t[0], t[1], 1e-5)}; },
          [](const Tensors& t) { return Tensors{plain_rms_norm(t[0], t[1], 1e-5)}; },
          {at::randn({rows, channels}), 1 + 0.3 * at::randn({channels})});
    }
  }
}

TEST_CASE("an offset is added to the weight, before it is rounded", "[ops]") {
  at::manual_seed(4);
  for (const std::int64_t channels : {7, 64, 65}) {
    const Tensors values{at::randint(-20, 20, {130, channels}).to(at::kFloat) / 4,
                         0.01 * at::randn({channels})};
    compare_both_types(
        "rms_norm with an offset", [](const Tensors& t) { return Tensors{rms_norm(t[0], t[1], 1e-5, 1)}; },
        [](const Tensors& t) { return Tensors{plain_rms_norm(t[0], 1 + t[1], 1e-5)}; }, values);
    compare_both_types(
        "add_rms_norm with an offset",
        [](const Tensors& t) { return Tensors{add_rms_norm(t[0], t[0], t[1], 1e-5, 1).second}; },
        [](const Tensors& t) { return Tensors{plain_rms_norm(t[0] + t[0], 1 + t[1], 1e-5)}; }, values);
  }
  // In bf16 1 + 0.003 would be 1: the sum is fp32.
  const at::Tensor x = at::randn({64, 64}).to(at::kBFloat16), weight = at::full({64}, 0.003, at::kBFloat16);
  const at::Tensor y = rms_norm(x, weight, 0.0, 1).to(at::kDouble),
                   plain = plain_rms_norm(x.to(at::kDouble), at::ones({64}), 0.0);
  CHECK((y * plain).sum().item<double>() / plain.square().sum().item<double>() ==
        Approx(1.00299).margin(2e-4));
}

TEST_CASE("rms_norm by hand", "[ops]") {
  const at::Tensor y = rms_norm(at::tensor({3.0F, 4.0F}).view({1, 2}), at::tensor({1.0F, 2.0F}), 0.0);
  CHECK(y[0][0].item<double>() == Approx(3 / std::sqrt(12.5)));
  CHECK(y[0][1].item<double>() == Approx(8 / std::sqrt(12.5)));
}

TEST_CASE("add_rms_norm gives the sum and its norm, and both gradients meet", "[ops]") {
  at::manual_seed(2);
  for (const std::int64_t channels : {1, 7, 65, 384}) {
    // The reference normalises the rounded sum, as whoever reads it later does: exact in fp32 and in bf16 of
    // small integers.
    const Tensors values{at::randint(-20, 20, {33, channels}).to(at::kFloat) / 4,
                         at::randint(-20, 20, {33, channels}).to(at::kFloat) / 4,
                         1 + 0.3 * at::randn({channels})};
    compare_both_types(
        "add_rms_norm",
        [](const Tensors& t) {
          const auto [sum, y] = add_rms_norm(t[0], t[1], t[2], 1e-6);
          return Tensors{sum, y};
        },
        [](const Tensors& t) {
          const at::Tensor sum = t[0] + t[1];
          return Tensors{sum, plain_rms_norm(sum, t[2], 1e-6)};
        },
        values);
  }
}

TEST_CASE("add_rms_norm with only one of its outputs used", "[ops]") {
  const at::Tensor x = at::randn({5, 8}).set_requires_grad(true), b = at::randn({5, 8}), w = at::ones({8});
  const auto alone = torch::autograd::grad({add_rms_norm(x, b, w, 1e-6).first.sum()}, {x})[0];
  CHECK(at::equal(alone, at::ones({5, 8})));
  const auto normed = torch::autograd::grad({add_rms_norm(x, b, w, 1e-6).second.pow(3).sum()}, {x})[0];
  const auto plain = torch::autograd::grad({plain_rms_norm(x + b, w, 1e-6).pow(3).sum()}, {x})[0];
  CHECK(error(normed, plain) < 1e-5);
}

TEST_CASE("swiglu equals its formula, strided halves included", "[ops]") {
  at::manual_seed(3);
  const Operation reference = [](const Tensors& t) { return Tensors{t[0] * at::sigmoid(t[0]) * t[1]}; };
  const Operation fused = [](const Tensors& t) { return Tensors{swiglu(t[0], t[1])}; };
  for (const std::int64_t rows : {0, 1, 3, 1000})
    for (const std::int64_t width : {1, 7, 63, 64, 65, 384})
      compare_both_types("swiglu", fused, reference,
                         {3 * at::randn({rows, width}), at::randn({rows, width})});
  compare_both_types(
      "swiglu of halves",
      [](const Tensors& t) { return Tensors{swiglu(t[0].narrow(1, 0, 65), t[0].narrow(1, 65, 65))}; },
      [](const Tensors& t) {
        const at::Tensor gate = t[0].narrow(1, 0, 65);
        return Tensors{gate * at::sigmoid(gate) * t[0].narrow(1, 65, 65)};
      },
      {at::randn({50, 130})});
}

TEST_CASE("swiglu at the ends of the range", "[ops]") {
  const at::Tensor gate = at::tensor({-1e4F, -100.0F, 0.0F, 100.0F, 1e4F, NAN}).view({1, 6});
  const at::Tensor y = swiglu(gate, at::ones({1, 6}));
  CHECK(y[0][0].item<float>() == Approx(0).margin(1e-30));
  CHECK(y[0][1].item<float>() == Approx(0).margin(1e-30));
  CHECK(y[0][2].item<float>() == 0);
  CHECK(y[0][3].item<float>() == 100);
  CHECK(y[0][4].item<float>() == 1e4F);
  CHECK(std::isnan(y[0][5].item<float>()));
}

TEST_CASE("rotary turns halves by the position's angle", "[ops]") {
  at::manual_seed(4);
  for (const std::int64_t size : {2, 14, 64, 66, 128}) {
    const std::int64_t rows = 37, heads = 3, half = size / 2;
    const at::Tensor angles = at::arange(50, at::kFloat).unsqueeze(1) * at::rand({half});
    const at::Tensor cos = angles.cos(), sin = angles.sin(), positions = at::randint(50, {rows});
    const auto plain = [&](const at::Tensor& x) {
      const at::Tensor c = cos.index_select(0, positions).to(at::kDouble).unsqueeze(1);
      const at::Tensor s = sin.index_select(0, positions).to(at::kDouble).unsqueeze(1);
      const at::Tensor a = x.narrow(2, 0, half), b = x.narrow(2, half, half);
      return at::cat({a * c - b * s, b * c + a * s}, 2);
    };
    compare_both_types(
        "rotary", [&](const Tensors& t) { return Tensors{rotary(t[0], cos, sin, positions)}; },
        [&](const Tensors& t) { return Tensors{plain(t[0])}; }, {at::randn({rows, heads, size})});
    compare_both_types(  // a slice of a wider projection
        "rotary of a slice",
        [&](const Tensors& t) {
          return Tensors{
              rotary(t[0].narrow(1, size, heads * size).unflatten(1, {heads, size}), cos, sin, positions)};
        },
        [&](const Tensors& t) {
          return Tensors{plain(t[0].narrow(1, size, heads * size).unflatten(1, {heads, size}))};
        },
        {at::randn({rows, (heads + 2) * size})});
  }
}

TEST_CASE("gradients of norm weights do not depend on the threads", "[ops]") {
  const int before = at::get_num_threads();
  const at::Tensor x = at::randn({1000, 65}).to(at::kBFloat16),
                   w = at::ones({65}, at::kBFloat16).set_requires_grad(true);
  std::vector<at::Tensor> results;
  for (const int threads : {1, 2, 3}) {
    at::set_num_threads(threads);
    results.push_back(torch::autograd::grad({rms_norm(x, w, 1e-5)}, {w}, {x})[0]);
  }
  at::set_num_threads(before);
  CHECK(at::equal(results[0], results[1]));
  CHECK(at::equal(results[0], results[2]));
}

TEST_CASE("operations refuse what they cannot do", "[ops]") {
  CHECK_THROWS_AS(rms_norm(at::ones({2, 3}), at::ones({4}), 1e-5), Error);
  CHECK_THROWS_AS(rms_norm(at::ones({2, 3}, at::kDouble), at::ones({3}, at::kDouble), 1e-5), Error);
  CHECK_THROWS_AS(swiglu(at::ones({2, 3}), at::ones({3, 2})), Error);
  CHECK_THROWS_AS(rotary(at::ones({2, 1, 3}), at::ones({2, 1}), at::ones({2, 1}), at::zeros({2}, at::kLong)),
                  Error);
}

TEST_CASE("the kernels chosen are those the processor has or ATEN_CPU_CAPABILITY asks for", "[ops]") {
  const std::string name = kernels::op_kernels(false).name;
  const char* asked = std::getenv("ATEN_CPU_CAPABILITY");
  if (asked == nullptr) return;
  if (std::string(asked) == "avx2") CHECK(name == "avx2");
  if (std::string(asked) == "default") CHECK(name == "baseline");
}

TEST_CASE("transposed products equal a^T b, any sizes and strides", "[ops]") {
  at::manual_seed(13);
  for (const std::int64_t rows : {1, 2, 31, 33, 700}) {
    for (const auto& [left, right] : std::vector<std::pair<int, int>>{{1, 1},
                                                                      {7, 65},
                                                                      {48, 32},
                                                                      {64, 16},
                                                                      {33, 96},
                                                                      {130, 50},
                                                                      {16, 300},
                                                                      {300, 9},
                                                                      {70, 1100},
                                                                      {9, 520}}) {
      for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
        const at::Tensor a = at::randn({rows, left + 9}).to(type).narrow(1, 3, left),
                         b = at::randn({rows, right}).to(type);
        const at::Tensor wanted = at::mm(a.to(at::kDouble).t(), b.to(at::kDouble));
        INFO(rows << " rows, " << left << " by " << right);
        CHECK(error(transposed_product(a, b), wanted) < (type == at::kFloat ? 4e-6 : 6e-3));
        at::Tensor sum = at::ones({left, right});
        transposed_product_into(sum, a, b, true);
        const bool exact = type == at::kFloat || kernels::op_kernels(true).transposed_product != nullptr;
        const double tolerance = exact ? 1e-5 : 6e-3;  // else the product is rounded before it is added
        CHECK(error(sum, wanted + 1) < tolerance);
      }
    }
  }
  at::Tensor sum = at::ones({2, 3});
  transposed_product_into(sum, at::zeros({0, 2}), at::zeros({0, 3}), false);
  CHECK(sum.eq(0).all().item<bool>());
  CHECK_THROWS_AS(transposed_product_into(sum, at::zeros({4, 2}), at::zeros({5, 3}), false), Error);
}

TEST_CASE("products equal a b + addend, any sizes, strides and orders", "[ops]") {
  at::manual_seed(14);
  const std::vector<std::array<std::int64_t, 3>> sizes = {
      {1, 3, 5},      {16, 1, 1},     {17, 33, 31},   {31, 16, 64},  {33, 96, 130},  {70, 512, 48},
      {40, 5000, 70}, {1100, 40, 33}, {64, 1024, 96}, {300, 70, 16}, {290, 16, 200}, {300, 4500, 9}};
  for (const auto& [rows, depth, columns] : sizes) {
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
      INFO(rows << " by " << depth << " by " << columns);
      const double tolerance = type == at::kFloat ? 1e-5 : 6e-3;
      const at::Tensor a = at::randn({rows, depth + 7}).to(type).narrow(1, 3, depth);
      const at::Tensor straight = at::randn({depth, columns + 5}).to(type).narrow(1, 2, columns);
      const at::Tensor turned = at::randn({columns, depth + 3}).to(type).narrow(1, 1, depth).t();
      const at::Tensor addend = at::randn({rows, columns}).to(type), bias = at::randn({columns}).to(type);
      for (const at::Tensor& b : {straight, turned, turned.contiguous().t().contiguous().t()}) {
        const at::Tensor wanted = at::mm(a.to(at::kDouble), b.to(at::kDouble));
        CHECK(error(product(a, b), wanted) < tolerance);
        CHECK(error(product(a, b, {0.5, addend}), wanted * 0.5 + addend.to(at::kDouble)) < tolerance);
        CHECK(error(product(a, b, {1, bias}), wanted + bias.to(at::kDouble)) < tolerance);
        for (const std::int64_t more : {1, 16, 35}) {
          const at::Tensor left = at::randn({rows, more}).to(type), low = at::randn({more, columns}).to(type),
                           high = at::randn({columns, more}).to(type).t();
          for (const at::Tensor& other : {low, high}) {
            const at::Tensor sum = wanted + at::mm(left.to(at::kDouble), other.to(at::kDouble));
            CHECK(error(product(a, b, {1, {}, left, other}), sum) < tolerance);
          }
        }
        const at::Tensor around = at::full({rows, columns + 4}, 7, a.options());
        at::Tensor out = around.narrow(1, 2, columns);
        product_into(out, a, b, {2, {}});
        CHECK(error(out, wanted * 2) < tolerance);
        CHECK(around.narrow(1, 0, 2).eq(7).all().item<bool>());
        CHECK(around.narrow(1, columns + 2, 2).eq(7).all().item<bool>());
      }
    }
  }
  at::Tensor out = at::ones({2, 3});
  CHECK_THROWS_AS(product_into(out, at::zeros({2, 4}), at::zeros({5, 3})), Error);
  CHECK_THROWS_AS(product_into(out, at::zeros({3, 4}), at::zeros({4, 3})), Error);
  const at::Tensor none =
      at::full({20, 40}, std::numeric_limits<float>::quiet_NaN(), at::kBFloat16).narrow(1, 0, 33);
  CHECK(product(none.narrow(1, 0, 1).fill_(1), at::ones({1, 4}, at::kBFloat16)).eq(1).all().item<bool>());
}
