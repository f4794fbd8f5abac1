// Rotary angles against values worked out by hand from the papers' equations.
#include <ATen/core/Tensor.h>
#include <ATen/ops/equal.h>

#include <cmath>
#include <numbers>

#include "models/decoder/rotary_tables.h"
#include "tests/catch.h"

using namespace lathe;

namespace {

DecoderSpec rotary_spec(RotaryScaling scaling) {
  DecoderSpec spec;
  spec.head_size = 8;
  spec.max_positions = 16;
  spec.rotary.theta = 100;
  spec.rotary.scaling = scaling;
  spec.rotary.factor = 4;
  spec.rotary.original_max_position_embeddings = 16;
  return spec;
}

double frequency(const DecoderSpec& spec, std::int64_t length, int i) {
  return rotary_frequencies(spec, length)[i].item<double>();
}

}  // namespace

TEST_CASE("unscaled and linear frequencies") {
  const double wanted[] = {1, 0.31622777, 0.1, 0.031622777};  // 100 ^ (-i / 4)
  for (int i = 0; i < 4; ++i) {
    CHECK(frequency(rotary_spec(RotaryScaling::None), 9, i) == Approx(wanted[i]).epsilon(1e-6));
    CHECK(frequency(rotary_spec(RotaryScaling::Linear), 9, i) == Approx(wanted[i] / 4).epsilon(1e-6));
  }
}

TEST_CASE("dynamic NTK raises theta only beyond the trained length") {
  const DecoderSpec spec = rotary_spec(RotaryScaling::Dynamic);
  CHECK(frequency(spec, 16, 2) == Approx(0.1).epsilon(1e-6));
  const double theta = 100 * std::pow(4 * 32 / 16.0 - 3, 8.0 / 6);
  CHECK(frequency(spec, 32, 2) == Approx(1 / std::sqrt(theta)).epsilon(1e-6));
}

TEST_CASE("Llama 3 keeps short waves, stretches long ones, blends between") {
  DecoderSpec spec = rotary_spec(RotaryScaling::Llama3);
  spec.rotary.low_freq_factor = 1;
  spec.rotary.high_freq_factor = 2;
  // Wavelengths 6.3, 19.9, 62.8, 198.7 against 16 / 2 = 8 and 16 / 1 = 16.
  CHECK(frequency(spec, 16, 0) == Approx(1).epsilon(1e-6));
  CHECK(frequency(spec, 16, 1) == Approx(0.31622777 / 4).epsilon(1e-6));
  spec.rotary.original_max_position_embeddings = 24;  // 12 and 24: the second is between
  const double smooth = 24 / (2 * std::numbers::pi / 0.31622777) - 1;
  CHECK(frequency(spec, 16, 1) == Approx((1 - smooth) * 0.31622777 / 4 + smooth * 0.31622777).epsilon(1e-5));
}

TEST_CASE("YaRN ramps by turns and scales the magnitude") {
  DecoderSpec spec = rotary_spec(RotaryScaling::Yarn);
  spec.rotary.original_max_position_embeddings = 64;
  spec.rotary.beta_fast = 4;
  spec.rotary.beta_slow = 0.5;
  // Dimension of r turns: 8 ln(64 / (2 pi r)) / (2 ln 100) = 0.81 for 4 turns, 2.62 for 0.5: the ramp is from
  // 0 to 3.
  const double wanted[] = {1, 0.31622777 * (2 / 3.0 + 1 / 12.0), 0.1 * (1 / 3.0 + 2 / 12.0), 0.031622777 / 4};
  for (int i = 0; i < 4; ++i) CHECK(frequency(spec, 16, i) == Approx(wanted[i]).epsilon(1e-5));
  CHECK(rotary_magnitude(spec) == Approx(0.1 * std::log(4.0) + 1));
  spec.rotary.attention_factor = 1.25;
  CHECK(rotary_magnitude(spec) == 1.25);
  CHECK(rotary_table(spec, 3).cos[0][0].item<double>() == Approx(1.25));
}

TEST_CASE("YaRN without truncation ramps between fractions of dimensions") {
  DecoderSpec spec = rotary_spec(RotaryScaling::Yarn);
  spec.rotary.original_max_position_embeddings = 64;
  spec.rotary.beta_fast = 4;
  spec.rotary.beta_slow = 0.5;
  spec.rotary.truncate = false;
  const auto turning_at = [](double turns) {
    return 4 * std::log(64 / (turns * 2 * std::numbers::pi)) / std::log(100.0);
  };
  const double low = turning_at(4), high = turning_at(0.5);  // 0.81 and 2.62
  CHECK(low == Approx(0.81188).epsilon(1e-5));
  CHECK(high == Approx(2.61806).epsilon(1e-5));
  const double shares[] = {0, (1 - low) / (high - low), (2 - low) / (high - low), 1};  // of interpolation
  const double plain[] = {1, 0.31622777, 0.1, 0.031622777};
  for (int i = 0; i < 4; ++i)
    CHECK(frequency(spec, 16, i) == Approx(plain[i] * (1 - shares[i] + shares[i] / 4)).epsilon(1e-5));
}

TEST_CASE("LongRoPE divides by other factors beyond the original length") {
  DecoderSpec spec = rotary_spec(RotaryScaling::LongRope);
  spec.rotary.short_factors = {1, 1.25, 2, 4};
  spec.rotary.long_factors = {2, 4, 8, 16};
  const double plain[] = {1, 0.31622777, 0.1, 0.031622777};
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(frequency(spec, 16, static_cast<int>(i)) ==
          Approx(plain[i] / spec.rotary.short_factors[i]).epsilon(1e-6));
    CHECK(frequency(spec, 17, static_cast<int>(i)) ==
          Approx(plain[i] / spec.rotary.long_factors[i]).epsilon(1e-6));
  }
  CHECK(rotary_magnitude(spec) == Approx(std::sqrt(1.5)));  // 1 + ln 4 / ln 16
  spec.rotary.factor = 1;
  CHECK(rotary_magnitude(spec) == 1);
  spec.rotary.attention_factor = 1.25;
  CHECK(rotary_magnitude(spec) == 1.25);

  RotaryTables tables(spec);
  const at::Tensor brief = tables.at_least(12).cos.clone();
  const at::Tensor whole = tables.at_least(17).cos.clone();
  CHECK_FALSE(at::equal(whole.narrow(0, 0, 12), brief.narrow(0, 0, 12)));
  CHECK(at::equal(tables.at_least(40).cos.narrow(0, 0, 17), whole.narrow(0, 0, 17)));
  CHECK(at::equal(tables.at_least(12).cos, brief));  // short again: its angles again
}

TEST_CASE("tables grow without changing what they held") {
  RotaryTables tables(rotary_spec(RotaryScaling::Yarn));
  const at::Tensor first = tables.at_least(10).cos.clone();
  const at::Tensor second = tables.at_least(50).cos;
  CHECK(second.size(0) >= 50);
  CHECK(at::equal(first, second.narrow(0, 0, first.size(0))));

  RotaryTables dynamic(rotary_spec(RotaryScaling::Dynamic));
  const at::Tensor base = dynamic.at_least(12).cos.clone();
  CHECK_FALSE(at::equal(dynamic.at_least(40).cos.narrow(0, 0, 12), base.narrow(0, 0, 12)));
  CHECK(at::equal(dynamic.at_least(12).cos, base));  // back to a short sequence: back to its angles
  CHECK(at::equal(dynamic.at_least(40).cos, rotary_table(rotary_spec(RotaryScaling::Dynamic), 40).cos));
}
