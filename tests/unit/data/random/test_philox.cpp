#include "data/random/philox.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <set>
#include <vector>

#include "tests/catch.h"

using namespace lathe;
using Words = std::array<std::uint32_t, 4>;

TEST_CASE("philox gives Random123's known answers") {
  static_assert(philox4x32({0, 0, 0, 0}, {0, 0})[0] == 0x6627e8d5);
  CHECK(philox4x32({0, 0, 0, 0}, {0, 0}) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  const std::uint32_t all = 0xffffffff;
  CHECK(philox4x32({all, all, all, all}, {all, all}) ==
        Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("a stream's definition is two philox calls") {
  const RandomKey key{.seed = 0x1122334455667788,
                      .purpose = Purpose::Dropout,
                      .site = 5,
                      .visit = 0x99aabbccddeeff00,
                      .sample = 0x0123456789abcdef};
  const auto h = philox4x32({3, 5, 0xddeeff00, 0x99aabbcc}, {0x55667788, 0x11223344});
  const RandomStream stream(key);
  const auto expected = philox4x32({7, 1, 0x89abcdef ^ h[2], 0x01234567 ^ h[3]}, {h[0], h[1]});
  CHECK(stream.block((std::uint64_t{1} << 32) + 7) == expected);
  for (std::uint64_t e = 0; e < 4; ++e) {
    CHECK(stream.bits(4 * ((std::uint64_t{1} << 32) + 7) + e) == expected[e]);
  }
}

TEST_CASE("every field of the key counts, in its highest bit too") {
  const RandomKey base{.seed = 17, .purpose = Purpose::Noise, .site = 1, .visit = 2, .sample = 3};
  std::set<std::uint64_t> first;
  const auto add = [&](const RandomKey& key) {
    const auto b = RandomStream(key).block(0);
    first.insert(std::uint64_t{b[0]} << 32 | b[1]);
  };
  add(base);
  for (int bit = 0; bit < 64; ++bit) {
    const std::uint64_t flip = std::uint64_t{1} << bit;
    RandomKey key = base;
    key.seed ^= flip, add(key), key = base;
    key.visit ^= flip, add(key), key = base;
    key.sample ^= flip, add(key), key = base;
    if (bit < 32) key.site ^= static_cast<std::uint32_t>(flip), add(key), key = base;
  }
  RandomKey other = base;
  other.purpose = Purpose::Timestep;
  add(other);
  CHECK(first.size() == 1 + 3 * 64 + 32 + 1);
}

TEST_CASE("uniform numbers are spread evenly and stay below one") {
  const RandomStream stream({.seed = 1, .purpose = Purpose::Sampling});
  std::vector<int> bins(64);
  double sum = 0;
  const int n = 640000;
  for (int i = 0; i < n; ++i) {
    const double u = stream.uniform(i);
    REQUIRE((u >= 0 && u < 1));
    ++bins[static_cast<std::size_t>(u * 64)];
    sum += u;
  }
  double chi = 0;
  for (const int b : bins) chi += (b - n / 64.0) * (b - n / 64.0) / (n / 64.0);
  CHECK(chi > 30);  // 63 degrees of freedom: outside of (30, 110) once in some 5000 streams
  CHECK(chi < 110);
  CHECK(std::fabs(sum / n - 0.5) < 4 * std::sqrt(1.0 / 12 / n));
}

TEST_CASE("normals are the exact quantiles of their bits") {
  double worst = 0;
  for (std::uint64_t b = 0; b <= 0xffffffff;
       b += 40009) {  // the distribution function, from libm, gives u back
    const auto bits = static_cast<std::uint32_t>(b);
    const double u = (bits + 0.5) * 0x1p-32, z = normal_from_bits(bits);
    const double density = std::exp(-z * z / 2) / std::sqrt(2 * 3.14159265358979323846);
    const double tail = 0.5 * std::erfc(std::fabs(z) / std::sqrt(2.0));
    const double error = std::fabs(tail - std::min(u, 1 - u)) / density;  // in units of z
    worst = std::max(worst, error / std::max(0.01, std::fabs(z)));
  }
  CHECK(worst < 7e-8);  // half a unit of float's last place
  CHECK(normal_from_bits(0x7fffffff) == -normal_from_bits(0x80000000));
  CHECK(normal_from_bits(0) == Approx(-6.337957).epsilon(1e-6));  // quantile of 2^-33
  CHECK(normal_from_bits(0xffffffff) == -normal_from_bits(0));
}

TEST_CASE("normals grow with their bits, over the seams of the approximation too") {
  const auto seam = [](double u) { return static_cast<std::uint32_t>(u * 0x1p32); };
  for (const double u : {0.075, 0.925, 0.5, 0.25, 0.0625, 0.03125}) {
    for (std::uint32_t i = seam(u) - 2000; i < seam(u) + 2000; ++i) {
      REQUIRE(normal_from_bits(i) <= normal_from_bits(i + 1));
    }
  }
}

TEST_CASE("normals of a stream have the moments and tails of the normal distribution") {
  const RandomStream stream({.seed = 17, .purpose = Purpose::Initialise, .site = 3});
  const std::size_t n = 2'000'000;
  std::vector<float> z(n);
  stream.fill_normal(0, z);
  double m1 = 0, m2 = 0, m3 = 0, m4 = 0, lag = 0;
  int beyond3 = 0, beyond4 = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const double x = z[i];
    m1 += x, m2 += x * x, m3 += x * x * x, m4 += x * x * x * x;
    if (i > 0) lag += x * z[i - 1];
    beyond3 += std::fabs(x) > 3;
    beyond4 += std::fabs(x) > 4;
  }
  const double root = std::sqrt(2e6);
  CHECK(std::fabs(m1 / 2e6) < 4 / root);
  CHECK(std::fabs(m2 / 2e6 - 1) < 4 * std::sqrt(2.0) / root);
  CHECK(std::fabs(m3 / 2e6) < 4 * std::sqrt(15.0) / root);
  CHECK(std::fabs(m4 / 2e6 - 3) < 4 * std::sqrt(96.0) / root);
  CHECK(std::fabs(lag / 2e6) < 4 / root);
  CHECK(std::fabs(beyond3 - 2e6 * 2.6998e-3) < 4 * std::sqrt(2e6 * 2.7e-3));
  CHECK(std::fabs(beyond4 - 2e6 * 6.334e-5) < 4 * std::sqrt(2e6 * 6.3e-5));
}

TEST_CASE("filling gives the same values as asking one by one, from any start and in groups of blocks") {
  const RandomStream stream({.seed = 3, .purpose = Purpose::Noise, .sample = 9});
  for (const std::uint64_t first : {0ull, 1ull, 2ull, 3ull, 4ull, 5ull, 0x3FFFFFFF0ull}) {
    for (std::size_t count = 0; count < 150; count += count < 11 ? 1 : 23) {
      std::vector<float> z(count);
      std::vector<std::uint32_t> words(count);
      stream.fill_normal(first, z);
      stream.fill_bits(first, words);
      for (std::size_t i = 0; i < count; ++i) {
        REQUIRE(z[i] == stream.normal(first + i));
        REQUIRE(words[i] == stream.bits(first + i));
      }
    }
  }
}
