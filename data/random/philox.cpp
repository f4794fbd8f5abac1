#include "data/random/philox.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "data/random/vector_clones.h"

// A fused multiply-add would round differently from machine to machine.
#if defined(__clang__)
#pragma clang fp contract(off)
#elif defined(__GNUC__)
#pragma GCC optimize("O3", "fp-contract=off")
#endif

namespace lathe {
namespace {

template <std::size_t N>
double polynomial(const double (&coefficients)[N], double x) {  // highest power first
  double sum = coefficients[0];
  for (std::size_t i = 1; i < N; ++i) sum = sum * x + coefficients[i];
  return sum;
}

// log(x) of a normal positive x: exponent * ln 2 + 2 artanh((m - 1) / (m + 1)), relative error below 1e-15 on
// (0, 0.5).
[[gnu::always_inline]] inline double fixed_log(double x) {
  constexpr std::uint64_t kSqrtHalf = 0x3FE6A09E667F3BCDull;  // bits of sqrt(0.5)
  const auto bits = std::bit_cast<std::uint64_t>(x);
  const auto offset = static_cast<std::int32_t>(static_cast<std::int64_t>(bits - kSqrtHalf) >> 52);
  const double m =
      std::bit_cast<double>(bits - (static_cast<std::uint64_t>(static_cast<std::int64_t>(offset)) << 52));
  const double s = (m - 1) / (m + 1), s2 = s * s;
  static constexpr double kSeries[] = {2.0 / 21, 2.0 / 19, 2.0 / 17, 2.0 / 15, 2.0 / 13, 2.0 / 11,
                                       2.0 / 9,  2.0 / 7,  2.0 / 5,  2.0 / 3,  2.0};
  return static_cast<double>(offset) * 0.693147180559945309417 + s * polynomial(kSeries, s2);
}

// M. J. Wichura, Algorithm AS 241 (PPND16), Applied Statistics 37 (1988) 477-484.
constexpr double kCentreTop[] = {2509.0809287301226727, 33430.575583588128105, 67265.770927008700853,
                                 45921.953931549871457, 13731.693765509461125, 1971.5909503065514427,
                                 133.14166789178437745, 3.387132872796366608};
constexpr double kCentreBottom[] = {
    5226.495278852545925,  28729.085735721942674, 39307.89580009271061,  21213.794301586595867,
    5394.1960214247511077, 687.1870074920579083,  42.313330701600911252, 1.0};
constexpr double kTailTop[] = {7.7454501427834140764e-4, 0.0227238449892691845833, 0.24178072517745061177,
                               1.27045825245236838258,   3.64784832476320460504,   5.7694972214606914055,
                               4.6303378461565452959,    1.42343711074968357734};
constexpr double kTailBottom[] = {
    1.05075007164441684324e-9, 5.475938084995344946e-4, 0.0151986665636164571966, 0.14810397642748007459,
    0.68976733498510000455,    1.6763848301838038494,   2.05319162663775882187,   1.0};

// (bits + 1/2) / 2^32 - 1/2, exact.
double centred(std::uint32_t bits) { return (bits + 0.5) * 0x1p-32 - 0.5; }

double centre(double q) {
  const double r = 0.180625 - q * q;
  return q * polynomial(kCentreTop, r) / polynomial(kCentreBottom, r);
}

// The smallest tail is 2^-33, where r is 4.8: AS 241's far branch (r > 5) is never reached.
[[gnu::always_inline]] inline double tail(double q) {
  const double r = std::sqrt(-fixed_log(0.5 - std::fabs(q))) - 1.6;
  const double z = polynomial(kTailTop, r) / polynomial(kTailBottom, r);
  return std::copysign(z, q);
}

constexpr double kCentre = 0.425;

constexpr std::size_t kTogether = 1024;

// At most kTogether of them. The centre's formula for all and, for the tails (15 %), theirs again, both in
// vectors: the bits are normal_from_bits', since nothing is contracted.
LATHE_CLONES void normals_from_bits(const std::uint32_t* bits, float* out, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) out[i] = static_cast<float>(centre(centred(bits[i])));
  std::array<std::uint32_t, kTogether> place;
  std::array<double, kTogether> far;
  std::size_t tails = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const double q = centred(bits[i]);
    place[tails] = static_cast<std::uint32_t>(i);
    far[tails] = q;
    tails += std::fabs(q) > kCentre ? 1 : 0;
  }
  for (std::size_t i = 0; i < tails; ++i) far[i] = tail(far[i]);
  for (std::size_t i = 0; i < tails; ++i) out[place[i]] = static_cast<float>(far[i]);
}

constexpr std::size_t kLanes = 16;  // blocks drawn at once

// Blocks [first, first + kLanes) of philox4x32, a lane each; the words are philox4x32's.
LATHE_CLONES void draw_blocks(std::uint64_t first, const std::array<std::uint32_t, 2>& high, PhiloxKey key,
                              std::uint32_t* out) {
  std::array<std::array<std::uint32_t, kLanes>, 4> counter;
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    counter[0][lane] = static_cast<std::uint32_t>(first + lane);
    counter[1][lane] = static_cast<std::uint32_t>((first + lane) >> 32);
    counter[2][lane] = high[0];
    counter[3][lane] = high[1];
  }
  for (int round = 0; round < 10; ++round, key = next_key(key))
    for (std::size_t lane = 0; lane < kLanes; ++lane)
      philox_round(counter[0][lane], counter[1][lane], counter[2][lane], counter[3][lane], key);
  for (std::size_t lane = 0; lane < kLanes; ++lane)
    for (std::size_t word = 0; word < 4; ++word) out[lane * 4 + word] = counter[word][lane];
}

}  // namespace

float normal_from_bits(std::uint32_t bits) {
  const double q = centred(bits);
  return static_cast<float>(std::fabs(q) <= kCentre ? centre(q) : tail(q));
}

float RandomStream::normal(std::uint64_t element) const { return normal_from_bits(bits(element)); }

void RandomStream::fill_bits(std::uint64_t first, std::span<std::uint32_t> out) const {
  for (std::size_t i = 0; i < out.size();) {
    const std::uint64_t element = first + i;
    if (element % 4 == 0 && out.size() - i >= 4 * kLanes) {
      draw_blocks(element / 4, high_, key_, out.data() + i);
      i += 4 * kLanes;
      continue;
    }
    const auto words = block(element / 4);
    for (std::uint64_t word = element % 4; word < 4 && i < out.size(); ++word) out[i++] = words[word];
  }
}

void RandomStream::fill_normal(std::uint64_t first, std::span<float> out) const {
  std::array<std::uint32_t, kTogether> words;
  for (std::size_t begin = 0; begin < out.size(); begin += words.size()) {
    const std::size_t count = std::min(words.size(), out.size() - begin);
    fill_bits(first + begin, std::span(words).first(count));
    normals_from_bits(words.data(), out.data() + begin, count);
  }
}

}  // namespace lathe
