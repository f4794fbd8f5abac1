#include "models/ops/ops.h"

#include <ATen/Context.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/zeros.h>

#include "recipes/schema/error.h"
#include "tests/unit/models/ops/reference.h"

using namespace lathe;
using namespace lathe::test;

namespace {

at::Tensor plain_norm(const Tensors& t, const GroupNormRule& rule) {
  const at::Tensor groups = t[0].unflatten(1, {rule.groups, -1});  // (B, G, C / G, H, W)
  const at::Tensor apart = groups - groups.mean({2, 3, 4}, true);
  const at::Tensor normed = (apart * (apart.pow(2).mean({2, 3, 4}, true) + rule.eps).rsqrt()).flatten(1, 2);
  const at::Tensor z = normed * t[1].view({1, -1, 1, 1}) + t[2].view({1, -1, 1, 1});
  return rule.silu ? z * at::sigmoid(z) : z;
}

}  // namespace

TEST_CASE("a norm over places and groups of channels equals its formula", "[ops]") {
  at::manual_seed(21);
  struct Case {
    std::int64_t batch, channels, high, wide, groups;
  };
  for (const Case& c : {Case{3, 32, 4, 6, 8},
                        {1, 4, 3, 3, 2},
                        {2, 45, 5, 2, 9},
                        {2, 16, 1, 1, 4},
                        {5, 1, 4, 4, 1},
                        {2, 96, 8, 8, 1}}) {
    for (const bool silu : {false, true}) {
      const GroupNormRule rule{c.groups, silu ? 1e-5 : 0.3, silu};
      INFO(c.channels << " channels in " << c.groups << " groups, silu " << silu);
      const auto fused = [&](const Tensors& t) { return Tensors{group_norm(t[0], t[1], t[2], rule)}; };
      const auto plain = [&](const Tensors& t) { return Tensors{plain_norm(t, rule)}; };
      const Tensors values{at::randn({c.batch, c.channels, c.high, c.wide}) * 2 + 3, at::randn({c.channels}),
                           at::randn({c.channels})};
      compare_both_types("group_norm", fused, plain, values);
      compare_both_types("group_norm, channels last", fused, plain,
                         {values[0].contiguous(at::MemoryFormat::ChannelsLast), values[1], values[2]});
    }
  }
}

TEST_CASE("a group norm far from zero keeps its digits, and is channels last", "[ops]") {
  at::manual_seed(22);
  const at::Tensor x = at::randn({2, 8, 16, 16}) + 1000, one = at::ones({8}), zero = at::zeros({8});
  const at::Tensor y = group_norm(x, one, zero, {2, 1e-5, false});
  CHECK(error(y, plain_norm({x.to(at::kDouble), one, zero}, {2, 1e-5, false})) < 1e-3);
  CHECK(y.is_contiguous(at::MemoryFormat::ChannelsLast));
  CHECK_THROWS_AS(group_norm(x, one, zero, {3, 1e-5, false}), Error);
  CHECK_THROWS_AS(group_norm(x, at::ones({4}), zero, {2, 1e-5, false}), Error);
}
