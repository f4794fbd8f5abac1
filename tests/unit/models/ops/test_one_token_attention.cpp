#include "models/ops/one_token_attention.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/softmax.h>

#include "recipes/schema/error.h"
#include "tests/catch.h"

namespace lathe {

TEST_CASE("one token attends to cached keys as the formula says") {
  struct Shape {
    std::int64_t rows, heads, key_heads, count, width;
  };
  for (const Shape& shape : {Shape{1, 4, 4, 1, 64},
                             {1, 12, 12, 300, 64},
                             {2, 8, 2, 37, 80},
                             {3, 6, 1, 513, 24},
                             {1, 2, 2, 5, 7}}) {
    const at::Tensor
        q = at::randn({shape.rows, 1, shape.heads, shape.width}).to(at::kBFloat16).transpose(1, 2),
        buffer = at::randn({2, shape.rows, shape.key_heads, shape.count + 9, shape.width}).to(at::kBFloat16),
        keys = buffer[0].narrow(2, 0, shape.count), values = buffer[1].narrow(2, 0, shape.count);
    AttentionRule rule;
    rule.scale = 0.3;
    const at::Tensor got = one_token_attention(q, keys, values, rule);
    const std::int64_t group = shape.heads / shape.key_heads;
    const at::Tensor k = keys.to(at::kDouble).repeat_interleave(group, 1),
                     v = values.to(at::kDouble).repeat_interleave(group, 1);
    const at::Tensor weights = at::softmax(at::matmul(q.to(at::kDouble), k.transpose(2, 3)) * rule.scale, -1);
    const at::Tensor wanted = at::matmul(weights, v);
    REQUIRE(got.sizes() == wanted.sizes());
    CHECK((got.to(at::kDouble) - wanted).abs().max().item<double>() <
          wanted.abs().max().item<double>() * 0x1p-8);  // the result's own rounding
  }
}

TEST_CASE("one-token attention refuses what it would read wrongly") {
  const at::Tensor two = at::randn({1, 2, 2, 8}).to(at::kBFloat16), one = two.narrow(2, 0, 1);
  CHECK_THROWS_AS(one_token_attention(two, two, two, {}), Error);
  CHECK_THROWS_AS(one_token_attention(one.to(at::kFloat), two, two, {}), Error);
  CHECK_THROWS_AS(one_token_attention(one, two.transpose(2, 3), two, {}), Error);
}

}  // namespace lathe
