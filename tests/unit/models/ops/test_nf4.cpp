#include "models/ops/nf4.h"

#include <ATen/core/Tensor.h>
#include <ATen/Context.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <ATen/Parallel.h>

#include <cmath>
#include <limits>
#include <vector>

#include "recipes/schema/error.h"
#include "tests/catch.h"

using namespace lathe;

namespace {

// Table 3 of arXiv 2305.14314, appendix E.
const std::vector<float> kCodes = {-1.0F,
                                   -0.6961928009986877F,
                                   -0.5250730514526367F,
                                   -0.39491748809814453F,
                                   -0.28444138169288635F,
                                   -0.18477343022823334F,
                                   -0.09105003625154495F,
                                   0.0F,
                                   0.07958029955625534F,
                                   0.16093020141124725F,
                                   0.24611230194568634F,
                                   0.33791524171829224F,
                                   0.44070982933044434F,
                                   0.5626170039176941F,
                                   0.7229568362236023F,
                                   1.0F};

// The decisions of bitsandbytes' CUDA kernels, as printed in its sources.
const std::vector<float> kBounds = {-0.8480964004993439F,   -0.6106329262256622F,  -0.4599952697753906F,
                                    -0.33967943489551544F,  -0.23460740596055984F, -0.13791173323988914F,
                                    -0.045525018125772476F, 0.03979014977812767F,  0.1202552504837513F,
                                    0.2035212516784668F,    0.2920137718319893F,   0.3893125355243683F,
                                    0.5016634166240692F,    0.6427869200706482F,   0.8614784181118011F};

int code_at(const Nf4Matrix& matrix, std::int64_t i) {
  const int byte = matrix.packed[i / 2].item<int>();
  return i % 2 == 0 ? byte >> 4 : byte & 15;
}

at::Tensor plain_scales(const Nf4Matrix& m) {
  if (!m.scale_codes.defined()) return m.scales;
  const at::Tensor of_block = m.scales.repeat_interleave(256).narrow(0, 0, m.scale_codes.numel());
  return dynamic_map().index({m.scale_codes.to(at::kLong)}) * of_block + m.offset;
}

// What the layout says, element by element.
at::Tensor decoded(const Nf4Matrix& m) {
  const at::Tensor out = at::empty({m.rows * m.columns}, at::kFloat), scales = plain_scales(m);
  for (std::int64_t i = 0; i < out.numel(); ++i)
    out[i] = kCodes[static_cast<std::size_t>(code_at(m, i))] * scales[i / 64].item<float>();
  return out.view({m.rows, m.columns});
}

at::Tensor drawn(std::int64_t rows, std::int64_t columns, at::ScalarType type) {
  at::manual_seed(41);
  return (at::randn({rows, columns}) * at::rand({rows, 1}) * 0.1).to(type);
}

}  // namespace

TEST_CASE("a value takes the nearest code, and the lower one of two as near") {
  for (std::size_t k = 0; k < kBounds.size(); ++k) {
    const at::Tensor x = at::zeros({1, 64});
    x[0][0] = 1.0F;  // the block's scale
    x[0][1] = kBounds[k];
    x[0][2] = std::nextafter(kBounds[k], 2.0F);
    x[0][3] = kCodes[k];
    const Nf4Matrix m = nf4_quantise(x, false);
    CHECK(code_at(m, 0) == 15);
    CHECK(code_at(m, 1) == static_cast<int>(k));
    CHECK(code_at(m, 2) == static_cast<int>(k) + 1);
    CHECK(code_at(m, 3) == static_cast<int>(k));
    CHECK(code_at(m, 63) == 7);
    CHECK(m.scales.numel() == 1);
    CHECK(m.scales[0].item<float>() == 1.0F);
  }
}

TEST_CASE("the map of the scales is the signed dynamic one of 7 exponent bits") {
  const at::Tensor map = dynamic_map();
  REQUIRE(map.numel() == 256);
  const auto at_index = [&](int i) { return map[i].item<float>(); };
  CHECK(at_index(255) == 1.0F);
  CHECK(at_index(254) == 0.99296875F);  // the last of 64 parts of [0.1, 1]: 1 - 0.9 / 128
  CHECK(at_index(0) == -0.99296875F);
  CHECK(at_index(127) == 0.0F);
  CHECK(at_index(128) ==
        Approx(5.5e-7).epsilon(1e-6));  // the only one of the smallest decade: 1e-6 * (0.1 + 1) / 2
  CHECK(at_index(126) == -at_index(128));
  CHECK(at_index(129) == Approx(3.25e-6F).epsilon(1e-6));  // 1e-5 * (0.1 + 0.55) / 2
  CHECK(at_index(130) == Approx(7.75e-6F).epsilon(1e-6));
  CHECK((map.narrow(0, 1, 255) > map.narrow(0, 0, 255)).all().item<bool>());
  CHECK(at::equal(map.narrow(0, 0, 127), -map.narrow(0, 128, 127).flip(0)));
}

TEST_CASE("dense values are code times scale, whatever the shape and the type") {
  const std::vector<std::pair<std::int64_t, std::int64_t>> shapes = {{1, 64}, {7, 48},    {3, 5},
                                                                     {33, 1}, {128, 192}, {300, 768}};
  for (const auto& [rows, columns] : shapes) {
    for (const auto type : {at::kFloat, at::kBFloat16, at::kHalf}) {
      for (const bool nested : {false, true}) {
        INFO(rows << " x " << columns << " " << c10::toString(type) << (nested ? ", double" : ""));
        const at::Tensor x = drawn(rows, columns, type);
        const Nf4Matrix m = nf4_quantise(x, nested);
        CHECK(m.packed.numel() == (rows * columns + 1) / 2);
        CHECK(m.bytes() <= rows * columns * (nested ? 53 : 58) / 100 + 16);
        const at::Tensor wanted = rows * columns > 20000 ? nf4_dequantised(m, at::kFloat) : decoded(m);
        CHECK(at::equal(nf4_dequantised(m, at::kFloat), wanted));
        CHECK(at::equal(nf4_dequantised(m, at::kBFloat16), wanted.to(at::kBFloat16)));
        // No code is farther than half the widest gap, 0.152 of the block's scale; what double quantisation
        // changes in the scale comes on top.
        const at::Tensor plain = nf4_quantise(x, false).scales, change = (plain_scales(m) - plain).abs();
        const at::Tensor bound = (plain * 0.15195 + change).repeat_interleave(64).narrow(0, 0, x.numel());
        CHECK(((x.to(at::kFloat) - wanted).abs().flatten() <= bound).all().item<bool>());
        CHECK((change <= plain.amax() * (nested ? 0.02 : 0)).all().item<bool>());
      }
    }
  }
}

TEST_CASE("double quantisation centres the scales and takes their nearest codes") {
  const at::Tensor x = drawn(512, 192, at::kFloat);  // 1536 blocks: six of scales
  const Nf4Matrix plain = nf4_quantise(x, false), nested = nf4_quantise(x, true);
  CHECK(at::equal(plain.packed, nested.packed));
  CHECK(nested.offset == Approx(plain.scales.mean().item<float>()).epsilon(1e-6));
  const at::Tensor centred = plain.scales - nested.offset;
  CHECK(at::equal(nested.scales, centred.view({6, 256}).abs().amax(1)));
  const at::Tensor scaled = (centred.view({6, 256}) * (1 / nested.scales).unsqueeze(1)).flatten();
  const at::Tensor distances = (scaled.unsqueeze(1) - dynamic_map().unsqueeze(0)).abs();
  CHECK(at::equal(nested.scale_codes.to(at::kLong), distances.argmin(1)));
}

TEST_CASE("zeros stay zeros, and what is not finite is refused") {
  at::Tensor x = drawn(4, 128, at::kFloat);
  x[1].zero_();
  for (const bool nested : {false, true}) {
    const at::Tensor back = nf4_dequantised(nf4_quantise(x, nested), at::kFloat);
    CHECK((back[1] == 0).all().item<bool>());
    CHECK_FALSE((back[0] == 0).all().item<bool>());
    CHECK((nf4_dequantised(nf4_quantise(at::zeros({2, 64}), nested), at::kFloat) == 0).all().item<bool>());
  }
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity()}) {
    at::Tensor broken = x.clone();
    broken[2][77] = bad;
    CHECK_THROWS_WITH(nf4_quantise(broken, true), "a weight is not finite, so it cannot be quantised");
    CHECK_THROWS_AS(nf4_quantise(broken.to(at::kBFloat16), false), Error);
  }
}

TEST_CASE("the number of threads changes no bit") {
  const at::Tensor x = drawn(2500, 1024, at::kFloat);  // 40,000 scales: more than ATen sums on one thread
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const Nf4Matrix one = nf4_quantise(x, true);
  at::set_num_threads(3);
  const Nf4Matrix three = nf4_quantise(x, true);
  CHECK(at::get_num_threads() == 3);
  const at::Tensor dense = nf4_dequantised(three, at::kBFloat16);
  at::set_num_threads(threads);
  CHECK(one.offset == three.offset);
  CHECK(at::equal(one.packed, three.packed));
  CHECK(at::equal(one.scale_codes, three.scale_codes));
  CHECK(at::equal(one.scales, three.scales));
  CHECK(at::equal(nf4_dequantised(one, at::kBFloat16), dense));
}
