#pragma once
// Counter-based random numbers: Philox 4x32-10 (Salmon et al., SC 2011, doi 10.1145/2063384.2063405). A value
// is a function of (seed, purpose, site, visit, sample, element), so order and noise do not depend on ranks,
// threads, micro-batches or on what was drawn before; nothing needs saving.
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace lathe {

enum class Purpose : std::uint32_t {
  Initialise = 1,
  Order,
  Dropout,
  Noise,
  Timestep,
  Mixing,
  Sampling,
  Split,
  Adapter,
  Resample,
  SignFlip,
  FillInMiddle,
  Generate
};

using PhiloxKey = std::array<std::uint32_t, 2>;

// One round, of counter words a to d.
[[gnu::always_inline]] constexpr void philox_round(std::uint32_t& a, std::uint32_t& b, std::uint32_t& c,
                                                   std::uint32_t& d, const PhiloxKey& key) {
  const std::uint64_t first = std::uint64_t{0xD2511F53u} * a, second = std::uint64_t{0xCD9E8D57u} * c;
  a = static_cast<std::uint32_t>(second >> 32) ^ b ^ key[0];
  b = static_cast<std::uint32_t>(second);
  c = static_cast<std::uint32_t>(first >> 32) ^ d ^ key[1];
  d = static_cast<std::uint32_t>(first);
}
constexpr PhiloxKey next_key(const PhiloxKey& key) { return {key[0] + 0x9E3779B9u, key[1] + 0xBB67AE85u}; }

// 10 rounds of Philox 4x32. Bit-equal to Random123's known answers.
constexpr std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter, PhiloxKey key) {
  for (int round = 0; round < 10; ++round, key = next_key(key))
    philox_round(counter[0], counter[1], counter[2], counter[3], key);
  return counter;
}

struct RandomKey {
  std::uint64_t seed = 0;
  Purpose purpose{};
  std::uint32_t site = 0;    // layer or other place in the model
  std::uint64_t visit = 0;   // step or epoch
  std::uint64_t sample = 0;  // document or row id
};

// 4 x 32 random bits number `block` of the stream of `key`. The first 64 bits of the key are hashed in with
// the counters by one extra Philox call, so every field counts in full:
//   h = philox({purpose, site, visit}, seed);  block i = philox({i, sample ^ h[2..3]}, h[0..1])
// Within one (seed, purpose, site, visit) streams of different samples never share a counter.
class RandomStream {
 public:
  explicit RandomStream(const RandomKey& key) {
    const auto low = [](std::uint64_t v) { return static_cast<std::uint32_t>(v); };
    const auto high = [](std::uint64_t v) { return static_cast<std::uint32_t>(v >> 32); };
    const auto h =
        philox4x32({static_cast<std::uint32_t>(key.purpose), key.site, low(key.visit), high(key.visit)},
                   {low(key.seed), high(key.seed)});
    key_ = {h[0], h[1]};
    high_ = {low(key.sample) ^ h[2], high(key.sample) ^ h[3]};
  }
  std::array<std::uint32_t, 4> block(std::uint64_t index) const {
    return philox4x32(
        {static_cast<std::uint32_t>(index), static_cast<std::uint32_t>(index >> 32), high_[0], high_[1]},
        key_);
  }
  std::uint32_t bits(std::uint64_t element) const {
    return block(element / 4)[element % 4];
  }                                                                                // word e % 4 of e / 4
  double uniform(std::uint64_t element) const { return bits(element) * 0x1p-32; }  // [0, 1), 32 bits
  float normal(std::uint64_t element) const;  // fixed polynomial, not libm: the same bits everywhere
  // out[i] = bits(first + i), normal(first + i): one block of work for four elements.
  void fill_bits(std::uint64_t first, std::span<std::uint32_t> out) const;
  void fill_normal(std::uint64_t first, std::span<float> out) const;

 private:
  std::array<std::uint32_t, 2> key_{};
  std::array<std::uint32_t, 2> high_{};
};

// The standard normal quantile at (bits + 1/2) / 2^32: symmetric, |z| < 6.34, within 1 ulp of float. Uses + -
// * / sqrt only, without contraction.
float normal_from_bits(std::uint32_t bits);

}  // namespace lathe
