#include <ATen/ops/equal.h>
#include <ATen/ops/ones.h>
#include <array>

#include "data/random/philox.h"
#include "models/ops/ops.h"
#include "recipes/schema/error.h"
#include "tests/unit/models/ops/reference.h"

using namespace lathe;

namespace {

Stretch stretch(std::int32_t begin, std::int32_t length, std::uint64_t document, std::int32_t position = 0) {
  return {begin, length, document, position};
}

}  // namespace

TEST_CASE("dropout keeps its share and the mean", "[ops]") {
  for (const double probability : {0.1, 0.5, 0.9}) {
    const at::Tensor y =
        counter_dropout(at::ones({1000, 100}), probability, {1, 2, 3}, {stretch(0, 1000, 9)});
    const double dropped = (y == 0).to(at::kDouble).mean().item<double>();
    CHECK(dropped == Approx(probability).margin(5 * std::sqrt(probability * (1 - probability) / 1e5)));
    CHECK(y.max().item<double>() == Approx(1 / (1 - probability)));
  }
}

TEST_CASE("dropout's mask is Philox of (channel / 4, position, document) under the hashed key", "[ops]") {
  const DropoutKey key{0x123456789abcdefULL, 0x1122334455ULL, 7};
  const std::uint64_t document = 0xfedcba9876543210ULL;
  const auto words = philox4x32({0x22334455U, 0x11U, 7, static_cast<std::uint32_t>(Purpose::Dropout)},
                                {0x89abcdefU, 0x01234567U});
  const at::Tensor y = counter_dropout(at::ones({5, 67}), 0.3, key, {stretch(1, 4, document, 100)});
  CHECK(y[0].eq(0).all().item<bool>());  // padding
  for (std::int64_t row = 1; row < 5; ++row) {
    for (std::int64_t c = 0; c < 67; ++c) {
      const auto block = philox4x32(
          {static_cast<std::uint32_t>(c / 4), static_cast<std::uint32_t>(99 + row), 0x76543210U, 0xfedcba98U},
          {words[0], words[1]});
      const bool dropped = block[static_cast<std::size_t>(c % 4)] < 0.3 * 4294967296.0;
      if ((y[row][c].item<float>() == 0) != dropped) FAIL("row " << row << " channel " << c);
    }
  }
}

TEST_CASE("dropout does not depend on packing, batching or dtype, and does on every key", "[ops]") {
  const at::Tensor one = at::ones({20, 65});
  const at::Tensor alone = counter_dropout(one, 0.4, {5, 6, 1}, {stretch(0, 20, 77)});
  const at::Tensor packed =
      counter_dropout(at::ones({64, 65}), 0.4, {5, 6, 1}, {stretch(0, 13, 3), stretch(30, 20, 77)});
  CHECK(at::equal(alone, packed.narrow(0, 30, 20)));
  CHECK(packed.narrow(0, 13, 17).eq(0).all().item<bool>());
  const at::Tensor tail = counter_dropout(at::ones({8, 65}), 0.4, {5, 6, 1}, {stretch(0, 8, 77, 12)});
  CHECK(at::equal(alone.narrow(0, 12, 8), tail));
  const at::Tensor half = counter_dropout(one.to(at::kBFloat16), 0.4, {5, 6, 1}, {stretch(0, 20, 77)});
  CHECK(at::equal(half.eq(0), alone.eq(0)));
  for (const DropoutKey& other : {DropoutKey{6, 6, 1}, DropoutKey{5, 7, 1}, DropoutKey{5, 6, 2}})
    CHECK_FALSE(at::equal(alone, counter_dropout(one, 0.4, other, {stretch(0, 20, 77)})));
  CHECK_FALSE(at::equal(alone, counter_dropout(one, 0.4, {5, 6, 1}, {stretch(0, 20, 78)})));
}

TEST_CASE("dropout's backward uses the same mask", "[ops]") {
  const at::Tensor x = at::ones({9, 33}).set_requires_grad(true);
  const at::Tensor y = counter_dropout(x, 0.25, {1, 1, 1}, {stretch(0, 9, 4)});
  CHECK(at::equal(torch::autograd::grad({y.sum()}, {x})[0], y.detach()));
  CHECK(counter_dropout(x, 0, {1, 1, 1}, {}).is_same(x));
  CHECK_THROWS_AS(counter_dropout(x, 1.0, {1, 1, 1}, {}), Error);
}
