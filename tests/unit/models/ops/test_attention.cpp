#include <ATen/Context.h>
#include <ATen/ops/einsum.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/tanh.h>
#include <ATen/ops/zeros.h>
#include <ATen/Parallel.h>

#include <array>
#include <optional>

#include "models/ops/ops.h"
#include "recipes/schema/error.h"
#include "tests/unit/models/ops/reference.h"

using namespace lathe;
using namespace lathe::test;

namespace {

std::vector<Stretch> stretches(const std::vector<std::pair<int, int>>& spans) {
  std::vector<Stretch> result;
  for (const auto& [begin, length] : spans)
    result.push_back({begin, length, static_cast<std::uint64_t>(result.size()), 0});
  return result;
}

// (N, N): same document, not later, not before the window.
at::Tensor allowed_pairs(std::int64_t rows, const std::vector<Stretch>& documents, std::int64_t window) {
  at::Tensor allowed = at::zeros({rows, rows}, at::kBool);
  for (const Stretch& d : documents)
    allowed.narrow(0, d.begin, d.length)
        .narrow(1, d.begin, d.length)
        .copy_(at::ones({d.length, d.length}, at::kBool).tril());
  return window > 0 ? allowed.logical_and(at::ones({rows, rows}, at::kBool).triu(1 - window)) : allowed;
}

// Softmax over all pairs with that mask.
at::Tensor plain_attention(const Tensors& t, const std::vector<Stretch>& documents,
                           const AttentionRule& rule) {
  const std::int64_t rows = t[0].size(0), group = t[0].size(1) / t[1].size(1);
  const at::Tensor allowed = allowed_pairs(rows, documents, rule.window),
                   used = allowed.any(1).to(at::kDouble);
  const at::Tensor k = t[1].repeat_interleave(group, 1), v = t[2].repeat_interleave(group, 1);
  at::Tensor scores = at::einsum("qhd,khd->hqk", {t[0], k}) * rule.scale;
  if (rule.softcap > 0) scores = at::tanh(scores / rule.softcap) * rule.softcap;
  const at::Tensor weights = at::softmax(scores.masked_fill(~allowed, -1e30), -1);
  return at::einsum("hqk,khd->qhd", {weights, v}) * used.view({rows, 1, 1});
}

// LibTorch's own operation: by its causal rule where one document fills all rows, else by a mask; padding
// attends to itself there.
at::Tensor library_attention(const Tensors& t, const std::vector<Stretch>& documents,
                             const AttentionRule& rule) {
  const std::int64_t rows = t[0].size(0);
  const bool causal = rule.window == 0 && documents.size() == 1 && documents[0].length == rows;
  const auto heads_first = [](const at::Tensor& x) {
    return x.transpose(0, 1).unsqueeze(0);
  };  // (1, H, N, D)
  const at::Tensor allowed = allowed_pairs(rows, documents, rule.window), used = allowed.any(1);
  std::optional<at::Tensor> mask;
  if (!causal) mask = allowed.logical_or(at::eye(rows).to(at::kBool));
  const at::Tensor y =
      at::scaled_dot_product_attention(heads_first(t[0]), heads_first(t[1]), heads_first(t[2]), mask, 0.0,
                                       causal, rule.scale, /*enable_gqa=*/true);
  return y.squeeze(0).transpose(0, 1) * used.to(y.scalar_type()).view({rows, 1, 1});
}

void check_beside_library(std::int64_t rows, std::array<std::int64_t, 3> heads_kv_size,
                          const std::vector<Stretch>& documents, AttentionRule rule = {}) {
  const auto [heads, kv, size] = heads_kv_size;
  rule.scale = 0.8 / std::sqrt(static_cast<double>(size));
  compare_both_types(
      "attention beside LibTorch's",
      [&](const Tensors& t) {
        return Tensors{document_attention(t[0], t[1], t[2], documents, 1, t[0].size(0), rule)};
      },
      [&](const Tensors& t) { return Tensors{library_attention(t, documents, rule)}; },
      {2 * at::randn({rows, heads, size}), 2 * at::randn({rows, kv, size}), at::randn({rows, kv, size})});
}

void check(std::int64_t rows, std::int64_t length, std::int64_t heads, std::int64_t kv, std::int64_t size,
           const std::vector<Stretch>& documents, AttentionRule rule = {}) {
  rule.scale = 1 / std::sqrt(static_cast<double>(size));
  const std::int64_t n = rows * length;
  compare_both_types(
      "attention",
      [&](const Tensors& t) {
        return Tensors{document_attention(t[0], t[1], t[2], documents, rows, length, rule)};
      },
      [&](const Tensors& t) { return Tensors{plain_attention(t, documents, rule)}; },
      {2 * at::randn({n, heads, size}), 2 * at::randn({n, kv, size}), at::randn({n, kv, size})});
}

}  // namespace

TEST_CASE("attention equals masked softmax over whole rows", "[ops]") {
  at::manual_seed(5);
  check(2, 32, 2, 2, 32, stretches({{0, 32}, {32, 32}}));
  check(1, 1, 1, 1, 64, stretches({{0, 1}}));
  check(2, 100, 3, 3, 64, stretches({{0, 100}, {100, 100}}));
  check(1, 300, 2, 2, 16, stretches({{0, 300}}));
  check(1, 97, 2, 1, 80, stretches({{0, 97}}));
}

TEST_CASE("attention and its gradients are those of scaled_dot_product_attention", "[ops]") {
  at::manual_seed(9);
  check_beside_library(150, {2, 2, 64}, stretches({{0, 150}}));                           // its causal rule
  check_beside_library(150, {6, 2, 32}, stretches({{0, 150}}));                           // grouped queries
  check_beside_library(130, {4, 1, 24}, stretches({{0, 50}, {50, 61}, {111, 7}}));        // packed, padded
  check_beside_library(150, {4, 2, 32}, stretches({{0, 150}}), {.window = 37});           // a window
  check_beside_library(140, {6, 3, 80}, stretches({{0, 90}, {90, 41}}), {.window = 16});  // all of it
}

TEST_CASE("attention never crosses documents and leaves padding 0", "[ops]") {
  at::manual_seed(6);
  check(2, 64, 4, 2, 32, stretches({{0, 10}, {10, 33}, {43, 21}, {64, 1}, {65, 40}}));
  check(1, 200, 2, 2, 64, stretches({{0, 65}, {65, 64}, {129, 7}}));
  const at::Tensor x = at::randn({8, 1, 32});
  const at::Tensor y = document_attention(x, x, x, stretches({{0, 5}}), 1, 8, {1.0});
  CHECK(y.narrow(0, 5, 3).eq(0).all().item<bool>());
}

TEST_CASE("a document's attention has the same bits whatever lies around it", "[ops]") {
  at::manual_seed(7);
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const at::Tensor q = at::randn({96, 2, 64}).to(type), k = at::randn({96, 2, 64}).to(type),
                     v = at::randn({96, 2, 64}).to(type);
    const auto run = [&](const at::Tensor& qq, const at::Tensor& kk, const at::Tensor& vv,
                         const std::vector<Stretch>& documents) {
      const Tensors in = leaves({qq, kk, vv}, type);
      const at::Tensor y = document_attention(in[0], in[1], in[2], documents, 1, qq.size(0), {0.125});
      Tensors result =
          torch::autograd::grad({y}, in, {v.narrow(0, 0, 1).expand({qq.size(0), 2, 64}).contiguous()});
      result.push_back(y.detach());
      return result;
    };
    const Tensors packed = run(q, k, v, stretches({{0, 20}, {20, 37}, {57, 39}}));
    const auto cut = [](const at::Tensor& x) { return x.narrow(0, 20, 37).clone(); };
    const Tensors alone = run(cut(q), cut(k), cut(v), stretches({{0, 37}}));
    for (std::size_t i = 0; i < alone.size(); ++i) CHECK(at::equal(alone[i], packed[i].narrow(0, 20, 37)));
    const at::Tensor poison = at::full_like(q, NAN);  // what lies outside is not even read
    const auto surrounded = [&](const at::Tensor& x) {
      at::Tensor result = poison.clone();
      result.narrow(0, 20, 37).copy_(cut(x));
      return result;
    };
    const Tensors clean = run(surrounded(q), surrounded(k), surrounded(v), stretches({{20, 37}}));
    for (std::size_t i = 0; i < alone.size(); ++i) CHECK(at::equal(alone[i], clean[i].narrow(0, 20, 37)));
  }
}

TEST_CASE("attention reads strided projections and repeats its bits with any threads", "[ops]") {
  at::manual_seed(8);
  const at::Tensor qkv = at::randn({150, 3 * 2 * 64}).to(at::kBFloat16);
  const auto part = [&](std::int64_t i) { return qkv.narrow(1, i * 128, 128).unflatten(1, {2, 64}); };
  const auto documents = stretches({{0, 70}, {70, 80}});
  const int before = at::get_num_threads();
  std::vector<at::Tensor> results;
  for (const int threads : {1, 2, 3}) {
    at::set_num_threads(threads);
    results.push_back(document_attention(part(0), part(1), part(2), documents, 1, 150, {0.125}));
  }
  at::set_num_threads(before);
  results.push_back(document_attention(part(0).contiguous(), part(1).contiguous(), part(2).contiguous(),
                                       documents, 1, 150, {0.125}));
  for (const at::Tensor& result : results) CHECK(at::equal(result, results[0]));
  CHECK_THROWS_AS(document_attention(part(0), part(1), part(2), stretches({{100, 51}}), 1, 150, {1.0}),
                  Error);
}

TEST_CASE("attention survives scores of any size", "[ops]") {
  const at::Tensor big = (1e3 * at::randn({70, 1, 64})).to(at::kBFloat16);
  const at::Tensor x = big.clone().set_requires_grad(true);
  const at::Tensor y = document_attention(x, big, big, stretches({{0, 70}}), 1, 70, {1.0});
  CHECK(at::isfinite(y).all().item<bool>());
  CHECK(at::isfinite(torch::autograd::grad({y.sum()}, {x})[0]).all().item<bool>());
}

TEST_CASE("attention over a window equals its mask, whatever the window and the blocks", "[ops]") {
  at::manual_seed(11);
  for (const std::int64_t window : {2, 7, 31, 32, 33, 64, 65, 100, 299, 300, 1000})
    check(1, 300, 2, 1, 32, stretches({{0, 300}}), {.window = window});
  for (const std::int64_t window : {3, 40, 70})
    check(2, 100, 4, 2, 24, stretches({{0, 10}, {10, 90}, {100, 65}, {165, 30}}), {.window = window});
}

TEST_CASE("capped scores, with a window and without", "[ops]") {
  at::manual_seed(12);
  for (const double softcap : {0.5, 2.0, 50.0})
    for (const std::int64_t window : {0, 2, 20, 33}) {
      check(1, 97, 4, 2, 32, stretches({{0, 97}}), {.window = window, .softcap = softcap});
      check(2, 40, 2, 2, 16, stretches({{0, 17}, {17, 20}, {40, 40}}),
            {.window = window, .softcap = softcap});
    }
}

TEST_CASE("a window of one gives the values themselves", "[ops]") {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const at::Tensor v = at::randn({70, 2, 32}).to(type), q = at::randn({70, 2, 32}).to(type);
    CHECK(at::equal(document_attention(q, q, v, stretches({{0, 70}}), 1, 70, {.scale = 1, .window = 1}), v));
  }
  const at::Tensor x = at::randn({4, 1, 8});
  CHECK_THROWS_AS(document_attention(x, x, x, stretches({{0, 4}}), 1, 4, {.scale = 1, .window = -1}), Error);
}

TEST_CASE("what a window does not reach is not read", "[ops]") {
  at::manual_seed(13);
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    at::Tensor x = at::randn({200, 1, 32}).to(type);
    const AttentionRule rule{.scale = 0.2, .window = 10, .softcap = 5};
    const at::Tensor before = document_attention(x, x, x, stretches({{0, 200}}), 1, 200, rule);
    x = x.clone();
    x.narrow(0, 100, 1).fill_(50);
    const at::Tensor changed =
        document_attention(x, x, x, stretches({{0, 200}}), 1, 200, rule).ne(before).flatten(1).any(1);
    CHECK_FALSE(changed.narrow(0, 0, 100).any().item<bool>());
    CHECK(changed.narrow(0, 100, 10).all().item<bool>());
    CHECK_FALSE(changed.narrow(0, 110, 90).any().item<bool>());
  }
}
