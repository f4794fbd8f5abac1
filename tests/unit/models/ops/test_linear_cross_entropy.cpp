#include <ATen/Context.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/full.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tanh.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <fstream>
#include <string>

#include "models/objectives/causal_lm.h"
#include "models/objectives/token_loss.h"
#include "recipes/schema/error.h"
#include "tests/unit/models/ops/reference.h"

using namespace lathe;
using namespace lathe::test;

namespace {

void check(std::int64_t tokens, std::int64_t channels, std::int64_t vocabulary, const at::Tensor& targets) {
  compare_both_types(
      "linear_cross_entropy",
      [&](const Tensors& t) { return Tensors{linear_cross_entropy(t[0], t[1], targets)}; },
      [&](const Tensors& t) {
        const at::Tensor logits = at::mm(t[0], t[1].t());
        return Tensors{
            at::cross_entropy_loss(logits, targets.to(at::kLong), {}, at::Reduction::Sum, kIgnoreTarget)};
      },
      {at::randn({tokens, channels}),
       at::randn({vocabulary, channels}) / std::sqrt(static_cast<double>(channels))});
}

}  // namespace

TEST_CASE("linear cross-entropy equals log-softmax of the logits", "[ops]") {
  at::manual_seed(9);
  for (const std::int64_t tokens : {1, 3, 65, 1000}) {
    check(tokens, 64, 1000, at::randint(1000, {tokens}));
    check(tokens, 7, 33, at::randint(33, {tokens}).to(at::kInt));
  }
}

TEST_CASE("linear cross-entropy over several chunks", "[ops]") {
  at::manual_seed(10);
  check(700, 16, 70000, at::randint(70000, {700}));
}

namespace {

std::int64_t peak_memory() {  // of the process so far, bytes: VmHWM
  std::ifstream status("/proc/self/status");
  std::int64_t kilobytes = 0;
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) kilobytes = std::stoll(line.substr(6));
  return kilobytes * 1024;
}

}  // namespace

TEST_CASE("the logits are never whole: neither forward nor backward needs their memory", "[ops]") {
  constexpr std::int64_t kTokens = 8192, kVocabulary = 131072;  // logits: 2 GiB in bf16
  const at::Tensor hidden = at::randn({kTokens, 16}).to(at::kBFloat16).set_requires_grad(true);
  const at::Tensor weight = at::randn({kVocabulary, 16}).to(at::kBFloat16).set_requires_grad(true);
  const at::Tensor targets = at::randint(kVocabulary, {kTokens}).to(at::kInt);
  const std::int64_t before = peak_memory();
  linear_cross_entropy(hidden, weight, targets).backward();
  CHECK(peak_memory() - before < std::int64_t{400} << 20);
}

TEST_CASE("ignored targets count nothing", "[ops]") {
  at::manual_seed(11);
  at::Tensor targets = at::randint(50, {40});
  targets.narrow(0, 5, 20).fill_(kIgnoreTarget);
  check(40, 24, 50, targets);
  const at::Tensor hidden = at::randn({4, 8}).set_requires_grad(true),
                   weight = at::randn({6, 8}).set_requires_grad(true);
  const at::Tensor loss = linear_cross_entropy(hidden, weight, at::full({4}, kIgnoreTarget, at::kInt));
  CHECK(loss.item<float>() == 0);
  const auto gradients = torch::autograd::grad({loss}, {hidden, weight});
  CHECK(gradients[0].eq(0).all().item<bool>());
  CHECK(gradients[1].eq(0).all().item<bool>());
  CHECK(linear_cross_entropy(at::randn({0, 8}), weight, at::zeros({0}, at::kInt)).item<float>() == 0);
}

TEST_CASE("capped logits, their losses and gradients", "[ops]") {
  at::manual_seed(12);
  const at::Tensor targets = at::randint(60, {300});
  for (const double cap : {0.7, 3.0, 30.0}) {
    const auto reference = [&](const Tensors& t) {
      const at::Tensor logits = at::tanh(at::mm(t[0], t[1].t()) / cap) * cap;
      return Tensors{at::cross_entropy_loss(logits, targets, {}, at::Reduction::Sum)};
    };
    const Tensors values{2 * at::randn({300, 24}), at::randn({60, 24}) / 5};
    compare_both_types(
        "capped", [&](const Tensors& t) { return Tensors{linear_cross_entropy(t[0], t[1], targets, cap)}; },
        reference, values);
    const double sum = linear_token_losses(values[0], values[1], targets, cap).sum().item<double>();
    CHECK(sum == Approx(reference(values)[0].item<double>()).epsilon(1e-5));
  }
}

TEST_CASE("equal logits cost log V", "[ops]") {
  const at::Tensor loss = linear_cross_entropy(at::zeros({3, 4}), at::randn({10, 4}), at::tensor({1, 2, 3}));
  CHECK(loss.item<double>() == Approx(3 * std::log(10.0)));
}

TEST_CASE("losses of single targets", "[ops]") {
  at::manual_seed(12);
  const at::Tensor hidden = at::randn({30, 16}), weight = at::randn({21, 16});
  at::Tensor targets = at::randint(21, {30});
  targets[3] = kIgnoreTarget;
  const at::Tensor found = linear_token_losses(hidden, weight, targets);
  const at::Tensor wanted =
      at::cross_entropy_loss(at::mm(hidden, weight.t()), targets, {}, at::Reduction::None, kIgnoreTarget);
  CHECK(error(found, wanted) < 1e-6);
  CHECK(found[3].item<float>() == 0);
  const double sum = linear_cross_entropy(hidden, weight, targets).item<double>();
  CHECK(found.sum().item<double>() == Approx(sum));
}

TEST_CASE("the incoming gradient scales, and a second backward is refused", "[ops]") {
  const at::Tensor hidden = at::randn({5, 8}).set_requires_grad(true),
                   weight = at::randn({6, 8}).set_requires_grad(true);
  const at::Tensor targets = at::randint(6, {5});
  const auto once = torch::autograd::grad({linear_cross_entropy(hidden, weight, targets)}, {hidden, weight});
  const auto third =
      torch::autograd::grad({linear_cross_entropy(hidden, weight, targets) / 3}, {hidden, weight});
  CHECK(error(third[0] * 3, once[0]) < 1e-6);
  CHECK(error(third[1] * 3, once[1]) < 1e-6);
  const at::Tensor loss = linear_cross_entropy(hidden, weight, targets);
  torch::autograd::grad({loss}, {hidden}, {}, /*retain_graph=*/true);
  CHECK_THROWS(torch::autograd::grad({loss}, {hidden}));
}

TEST_CASE("targets outside the vocabulary are named", "[ops]") {
  CHECK_THROWS_AS(linear_cross_entropy(at::randn({2, 4}), at::randn({6, 4}), at::tensor({1, 6})), Error);
  CHECK_THROWS_AS(linear_cross_entropy(at::randn({2, 4}), at::randn({6, 4}), at::tensor({1, -1})), Error);
  CHECK_THROWS_AS(linear_cross_entropy(at::randn({2, 4}), at::randn({6, 5}), at::tensor({1, 2})), Error);
}
