#include "models/ops/ops.h"

#include <ATen/Context.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/einsum.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linspace.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/randn_like.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/tanh.h>

#include "recipes/schema/error.h"
#include "tests/unit/models/ops/reference.h"

using namespace lathe;
using namespace lathe::test;

namespace {

at::Tensor plain_norm(const at::Tensor& x, const at::Tensor& shift, const at::Tensor& scale,
                      double eps = 1e-6) {
  const at::Tensor apart = x - x.mean(-1, true);
  return apart * (apart.pow(2).mean(-1, true) + eps).rsqrt() * (1 + scale.unsqueeze(1)) + shift.unsqueeze(1);
}

at::Tensor plain_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  const at::Tensor scores = at::einsum("bqhd,bkhd->bhqk", {q, k}) / std::sqrt(static_cast<double>(q.size(3)));
  return at::einsum("bhqk,bkhd->bqhd", {at::softmax(scores, -1), v});
}

at::Tensor plain_head_norm(const at::Tensor& x, std::int64_t heads, const at::Tensor& weight) {
  const at::Tensor parts = x.unflatten(1, {heads, -1});
  return (parts * (parts.pow(2).mean(-1, true) + 1e-6).rsqrt() * weight).flatten(1);
}

}  // namespace

TEST_CASE("a norm that a condition shifts and scales equals its formula", "[ops]") {
  at::manual_seed(11);
  for (const auto& [batch, tokens, channels] :
       {std::array<std::int64_t, 3>{3, 5, 64}, {1, 1, 16}, {2, 7, 45}}) {
    compare_both_types(
        "modulated_norm",
        [](const Tensors& t) {
          return Tensors{modulated_norm(t[0], {t[1], t[2]})};
        },
        [](const Tensors& t) { return Tensors{plain_norm(t[0], t[1], t[2])}; },
        {at::randn({batch, tokens, channels}) * 2 + 3, at::randn({batch, channels}),
         at::randn({batch, channels})});
    compare_both_types(
        "add_modulated_norm",
        [](const Tensors& t) {
          const auto [total, y] = add_modulated_norm(t[0], t[1], t[2], {t[3], t[4]});
          return Tensors{total, y};
        },
        [](const Tensors& t) {
          const at::Tensor total = t[0] + t[2].unsqueeze(1) * t[1];
          return Tensors{total, plain_norm(total, t[3], t[4])};
        },
        {at::randn({batch, tokens, channels}), at::randn({batch, tokens, channels}),
         at::randn({batch, channels}), at::randn({batch, channels}), at::randn({batch, channels})});
  }
}

TEST_CASE("the small number of a modulated norm is heard, forward and backward", "[ops]") {
  at::manual_seed(15);
  compare_both_types(
      "eps 0.5",
      [](const Tensors& t) {
        const auto [total, y] = add_modulated_norm(t[0], t[1], t[2], {t[3], t[4], 0.5});
        return Tensors{total, y, modulated_norm(t[0], {t[3], t[4], 0.5})};
      },
      [](const Tensors& t) {
        const at::Tensor total = t[0] + t[2].unsqueeze(1) * t[1];
        return Tensors{total, plain_norm(total, t[3], t[4], 0.5), plain_norm(t[0], t[3], t[4], 0.5)};
      },
      {at::randn({2, 5, 16}), at::randn({2, 5, 16}), at::randn({2, 16}), at::randn({2, 16}),
       at::randn({2, 16})});
}

TEST_CASE("shift, scale and gate may be slices of one projection", "[ops]") {
  at::manual_seed(12);
  compare_both_types(
      "chunks",
      [](const Tensors& t) {
        const auto parts = t[1].chunk(3, 1);
        const auto [total, y] = add_modulated_norm(t[0], t[0] * 2, parts[2], {parts[0], parts[1]});
        return Tensors{y};  // what the sum becomes nobody asks for
      },
      [](const Tensors& t) {
        const auto parts = t[1].chunk(3, 1);
        return Tensors{plain_norm(t[0] + parts[2].unsqueeze(1) * t[0] * 2, parts[0], parts[1])};
      },
      {at::randn({4, 6, 32}), at::randn({4, 96})});
  CHECK_THROWS_AS(modulated_norm(at::randn({2, 3, 16}), {at::randn({2, 8}), at::randn({2, 16})}), Error);
}

TEST_CASE("attention of every token to every other equals softmax over all pairs", "[ops]") {
  at::manual_seed(13);
  const auto check = [](std::int64_t batch, std::int64_t tokens, std::int64_t keys, std::int64_t heads,
                        std::int64_t size) {
    INFO(tokens << " tokens, " << keys << " keys, heads of " << size);
    compare_both_types(
        "full_attention", [](const Tensors& t) { return Tensors{full_attention(t[0], t[1], t[2])}; },
        [](const Tensors& t) { return Tensors{plain_attention(t[0], t[1], t[2])}; },
        {2 * at::randn({batch, tokens, heads, size}), 2 * at::randn({batch, keys, heads, size}),
         at::randn({batch, keys, heads, size})});
  };
  check(3, 32, 32, 2, 32);
  check(1, 1, 1, 1, 16);
  check(2, 27, 27, 3, 48);
  check(2, 70, 70, 1, 64);
  check(2, 20, 77, 2, 40);  // a picture's patches look at a text
  check(1, 100, 9, 2, 80);
}

TEST_CASE("padding of a block never leaks into scores far below zero", "[ops]") {
  const at::Tensor q = at::full({1, 20, 1, 32}, 30.0).to(at::kBFloat16), k = -q;  // every score is -5,091
  Tensors in = leaves({q, k, at::randn({1, 20, 1, 32})}, at::kBFloat16);
  const at::Tensor y = full_attention(in[0], in[1], in[2]);
  CHECK(error(y, in[2].detach().to(at::kDouble).mean(1, true).expand({1, 20, 1, 32})) < 1e-2);
  for (const at::Tensor& g : torch::autograd::grad({y}, in, {at::randn_like(y)}))
    CHECK(g.to(at::kFloat).isfinite().all().item<bool>());
}

TEST_CASE("heads of two sides are normed and joined", "[ops]") {
  at::manual_seed(14);
  constexpr std::int64_t kBatch = 3, kHeads = 2;
  const auto sides = [&](const Tensors& t, bool normed) {
    std::vector<HeadParts> result;
    for (std::size_t side = 0; side < 2; ++side) {
      const auto wide = t[side].chunk(3, 1);
      result.push_back({wide[0], wide[1], wide[2], normed ? t[2 + 2 * side] : at::Tensor(),
                        normed ? t[3 + 2 * side] : at::Tensor()});
    }
    return result;
  };
  for (const bool normed : {true, false}) {
    Tensors values{at::randn({kBatch * 5, 3 * 24}), at::randn({kBatch * 4, 3 * 24})};
    if (normed)
      for (int i = 0; i < 4; ++i) values.push_back(at::randn({12}));
    compare_both_types(
        "join_heads",
        [&](const Tensors& t) {
          const auto joined = join_heads(sides(t, normed), kBatch, kHeads);
          return Tensors(joined.begin(), joined.end());
        },
        [&](const Tensors& t) {
          Tensors result;
          for (std::size_t kind = 0; kind < 3; ++kind) {
            Tensors rows;
            for (const HeadParts& side : sides(t, normed)) {
              const at::Tensor& weight = kind == 0 ? side.query_norm : side.key_norm;
              const at::Tensor& x = kind == 0 ? side.query : kind == 1 ? side.key : side.value;
              const at::Tensor y = normed && kind < 2 ? plain_head_norm(x, kHeads, weight) : x;
              rows.push_back(y.view({kBatch, -1, kHeads, 12}));
            }
            result.push_back(at::cat(rows, 1));
          }
          return result;
        },
        values);
  }
}

TEST_CASE("both GELUs equal their formulas", "[ops]") {
  const at::Tensor x = at::cat({at::linspace(-12, 12, 301), at::randn({40})});
  compare_both_types(
      "gelu_tanh", [](const Tensors& t) { return Tensors{gelu_tanh(t[0])}; },
      [](const Tensors& t) {
        return Tensors{t[0] * 0.5 * (1 + at::tanh(std::sqrt(2 / M_PI) * (t[0] + 0.044715 * t[0].pow(3))))};
      },
      {x});
  compare_both_types(
      "gelu_quick", [](const Tensors& t) { return Tensors{gelu_quick(t[0])}; },
      [](const Tensors& t) { return Tensors{t[0] * at::sigmoid(1.702 * t[0])}; }, {x});
}
