// Blocks laid out by hand, bounds of their errors, and searches that beat plain rounding.
#include "checkpoints/formats/gguf_blocks.h"

#include <cmath>
#include <cstring>
#include <numbers>

#include "checkpoints/formats/gguf_types.h"
#include "tests/unit/checkpoints/support.h"

namespace lathe {
namespace {

// Deterministic, bell-shaped, with a few values far out, as weights are.
std::vector<float> weights(std::size_t count, std::uint32_t seed) {
  std::vector<float> values(count);
  std::uint32_t state = seed;
  const auto uniform = [&] {
    state = state * 1664525U + 1013904223U;
    return (static_cast<double>(state >> 8) + 0.5) / (1 << 24);
  };
  for (float& value : values)
    value = static_cast<float>(0.03 * std::sqrt(-2 * std::log(uniform())) *
                               std::cos(2 * std::numbers::pi * uniform()));
  return values;
}

std::vector<float> there_and_back(GgmlType type, const std::vector<float>& values) {
  std::vector<std::byte> blocks(ggml_bytes(type, values.size()));
  std::vector<float> back(values.size());
  ggml_quantize(type, values, blocks.data());
  ggml_dequantize(type, blocks.data(), back);
  return back;
}

// Root of the mean squared error over that of the values.
double relative_error(const std::vector<float>& values, const std::vector<float>& back) {
  double error = 0, size = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    error += std::pow(static_cast<double>(values[i]) - static_cast<double>(back[i]), 2);
    size += std::pow(static_cast<double>(values[i]), 2);
  }
  return std::sqrt(error / size);
}

std::vector<std::byte> bytes_of(std::initializer_list<int> values) {
  std::vector<std::byte> bytes;
  for (const int value : values) bytes.push_back(static_cast<std::byte>(value));
  return bytes;
}

TEST_CASE("Q8_0 by hand") {
  std::vector<float> x(32, 0.0F);
  x[0] = 127, x[1] = -127, x[2] = 63.6F, x[31] = 1;
  std::byte block[34];
  quantize_q8_0(x.data(), block);
  CHECK(std::to_integer<int>(block[0]) == 0);
  CHECK(std::to_integer<int>(block[1]) == 0x3c);  // a scale of 1 in binary16
  CHECK(static_cast<std::int8_t>(block[2]) == 127);
  CHECK(static_cast<std::int8_t>(block[3]) == -127);
  CHECK(static_cast<std::int8_t>(block[4]) == 64);
  CHECK(static_cast<std::int8_t>(block[33]) == 1);
}

TEST_CASE("Q5_0 and Q5_1 by hand: the fifth bits, then two nibbles a byte") {
  std::vector<float> x(32);
  for (int i = 0; i < 32; ++i) x[static_cast<std::size_t>(i)] = static_cast<float>(i - 16);
  std::byte block[24];
  quantize_q5_0(x.data(), block);  // the extreme is -16: a scale of 1, level i
  CHECK(std::vector<std::byte>(block, block + 8) ==
        bytes_of({0x00, 0x3c, 0x00, 0x00, 0xff, 0xff, 0x00, 0x11}));
  std::vector<float> back(32);
  dequantize_q5_0(block, back.data());
  CHECK(back == x);
  quantize_q5_1(x.data(), block);  // scale 1, lowest -16
  CHECK(std::vector<std::byte>(block, block + 10) ==
        bytes_of({0x00, 0x3c, 0x00, 0xcc, 0x00, 0x00, 0xff, 0xff, 0x00, 0x11}));
  dequantize_q5_1(block, back.data());
  CHECK(back == x);
}

TEST_CASE("a Q4_K block by hand") {
  std::vector<std::byte> block(144, std::byte{0});
  block[1] = std::byte{0x3c};           // scale of scales 1
  block[3] = std::byte{0x38};           // of offsets 1/2
  block[4] = std::byte{3};              // part 0: scale 3
  block[8] = std::byte{4};              // part 0: offset 4
  block[5] = std::byte{(2 << 6) | 1};   // part 1: scale 1; part 5: upper bits 2
  block[9] = std::byte{1 << 6};         // part 5: offset's upper bits 1
  block[13] = std::byte{(7 << 4) | 9};  // part 5: scale 2 * 16 + 9 = 41, offset 16 + 7 = 23
  block[16] = std::byte{0x5a};          // part 0, value 0: level 10; part 1, value 0: level 5
  block[16 + 64] = std::byte{0x60};     // parts 4 and 5, value 0: levels 0 and 6
  std::vector<float> x(256);
  dequantize_q4_k(block.data(), x.data());
  CHECK(x[0] == 3 * 10 - 2);
  CHECK(x[1] == -2);
  CHECK(x[32] == 5);
  CHECK(x[128] == 0);
  CHECK(x[160] == 41 * 6 - 11.5F);
}

TEST_CASE("a Q5_K and a Q6_K block by hand") {
  std::vector<std::byte> five(176, std::byte{0});
  five[1] = std::byte{0x3c};
  five[4] = std::byte{1}, five[7] = std::byte{2};
  five[16] = std::byte{0x09};       // value 0 of parts 0 and 3 has its fifth bit
  five[48] = std::byte{0x03};       // part 0, value 0: 3
  five[48 + 32] = std::byte{0x40};  // part 3, value 0: 4
  std::vector<float> x(256);
  dequantize_q5_k(five.data(), x.data());
  CHECK(x[0] == 19);
  CHECK(x[96] == 2 * 20);
  CHECK(x[1] == 0);
  std::vector<std::byte> six(210, std::byte{0});
  six[209] = std::byte{0x3c};
  for (std::size_t part = 0; part < 16; ++part) six[192 + part] = std::byte{1};
  six[193] = std::byte{0xfe};  // -2, of values 16 to 31
  six[0] = std::byte{0xb5};    // value 0: low 5; value 64: low 11
  six[128] = std::byte{0x12};  // value 0: high 2 (32); value 64: high 1 (16); value 32: 0
  dequantize_q6_k(six.data(), x.data());
  CHECK(x[0] == 32 + 5 - 32);
  CHECK(x[64] == 16 + 11 - 32);
  CHECK(x[32] == -32);
  CHECK(x[16] == 64);
  CHECK(x[255] == -32);
}

TEST_CASE("what comes back is as near as the bits allow") {
  const std::vector<float> values = weights(256 * 64, 7);
  CHECK(there_and_back(GgmlType::F32, values) == values);
  CHECK(relative_error(values, there_and_back(GgmlType::F16, values)) < 3e-4);
  CHECK(relative_error(values, there_and_back(GgmlType::BF16, values)) < 2.5e-3);
  CHECK(relative_error(values, there_and_back(GgmlType::Q8_0, values)) < 0.0062);
  CHECK(relative_error(values, there_and_back(GgmlType::Q6_K, values)) < 0.020);
  CHECK(relative_error(values, there_and_back(GgmlType::Q5_K, values)) < 0.038);
  CHECK(relative_error(values, there_and_back(GgmlType::Q4_K, values)) < 0.075);
  CHECK(relative_error(values, there_and_back(GgmlType::Q5_1, values)) < 0.040);
  CHECK(relative_error(values, there_and_back(GgmlType::Q5_0, values)) < 0.046);
}

// FNV-1a.
std::uint64_t hash_of(const std::vector<std::byte>& bytes) {
  std::uint64_t hash = 14695981039346656037ULL;
  for (const std::byte byte : bytes) hash = (hash ^ std::to_integer<std::uint64_t>(byte)) * 1099511628211ULL;
  return hash;
}

TEST_CASE("known answers: the blocks that ggml 0.25 makes of the same values") {
  std::vector<float> values(256);
  for (int i = 0; i < 256; ++i)
    values[static_cast<std::size_t>(i)] =
        static_cast<float>((i * i * 37 + i * 11) % 101 - 50) / 64.0F * static_cast<float>(1 + i / 32);
  const auto hash = [&](GgmlType type) {
    std::vector<std::byte> blocks(ggml_bytes(type, values.size()));
    ggml_quantize(type, values, blocks.data());
    return hash_of(blocks);
  };
  CHECK(hash(GgmlType::Q8_0) == 0x7ce1624909f1ce41);
  CHECK(hash(GgmlType::Q5_0) == 0xf619c21c05f4b077);
  CHECK(hash(GgmlType::Q5_1) == 0x80a44eeede483be2);
  CHECK(hash(GgmlType::Q4_K) == 0x646eff1c444d9145);
  CHECK(hash(GgmlType::Q5_K) == 0x965c6165cfc83a60);
  CHECK(hash(GgmlType::Q6_K) == 0xfd5301b4bbb7dfce);
}

TEST_CASE("the searches beat the plain choice of scales") {
  const std::vector<float> values = weights(32 * 200, 11);
  double searched = 0, plain = 0;
  for (std::size_t at = 0; at < values.size(); at += 32) {
    const std::span<const float> x(values.data() + at, 32);
    const AffineFit fit = fit_affine(x, {15, -1, 0.1F, 20});
    const auto [low, high] = std::minmax_element(x.begin(), x.end());
    const AffineFit naive{(*high - *low) / 15, -*low};
    for (const float value : x)
      for (const bool best : {true, false}) {
        const AffineFit& f = best ? fit : naive;
        const float level = std::clamp(std::nearbyint((value + f.offset) / f.scale), 0.0F, 15.0F);
        (best ? searched : plain) += std::pow(f.scale * level - f.offset - value, 2);
      }
  }
  CHECK(searched < 0.9 * plain);
  CHECK(searched > 0);
}

TEST_CASE("zeros, equal values and huge spreads stay finite and right") {
  for (const GgmlType type :
       {GgmlType::Q8_0, GgmlType::Q5_0, GgmlType::Q5_1, GgmlType::Q4_K, GgmlType::Q5_K, GgmlType::Q6_K}) {
    INFO(ggml_type_info(type)->name);
    CHECK(there_and_back(type, std::vector<float>(256, 0.0F)) == std::vector<float>(256, 0.0F));
    for (const float value : {1.0F, -3.0F, 0.05F})
      for (const float back : there_and_back(type, std::vector<float>(256, value)))
        CHECK(back == Approx(value).epsilon(0.02));
    std::vector<float> spread(256, 1e-6F);
    spread[100] = 1000;
    const std::vector<float> back = there_and_back(type, spread);
    CHECK(back[100] == Approx(1000).epsilon(0.04));
    for (const float value : back) CHECK(std::isfinite(value));
  }
}

TEST_CASE("sizes of the types") {
  CHECK(ggml_bytes(GgmlType::Q8_0, 64) == 68);
  CHECK(ggml_bytes(GgmlType::Q5_0, 32) == 22);
  CHECK(ggml_bytes(GgmlType::Q5_1, 32) == 24);
  CHECK(ggml_bytes(GgmlType::Q4_K, 512) == 288);
  CHECK(ggml_bytes(GgmlType::Q5_K, 256) == 176);
  CHECK(ggml_bytes(GgmlType::Q6_K, 256) == 210);
  CHECK(ggml_type_info(static_cast<GgmlType>(2)) == nullptr);
  std::vector<std::byte> out(64);
  CHECK(error_of([&] {
          ggml_quantize(GgmlType::Q8_0, std::vector<float>(33), out.data());
        }).find("no whole blocks") != std::string::npos);
}

}  // namespace
}  // namespace lathe
