#pragma once
// Counter-based random numbers: Philox 4x32-10 (Salmon et al., SC 2011, doi 10.1145/2063384.2063405). A value is a
// function of (seed, purpose, site, visit, sample, element), so order and noise do not depend on ranks, threads,
// micro-batches or on what was drawn before; nothing needs saving.
#include <array>
#include <cstdint>

namespace lathe {

enum class Purpose : std::uint32_t { Initialise = 1, Order, Dropout, Noise, Timestep, Mixing, Sampling, Split };

// 10 rounds of Philox 4x32. Bit-equal to Random123's known answers.
std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter, std::array<std::uint32_t, 2> key);

struct RandomKey {
  std::uint64_t seed = 0;
  Purpose purpose{};
  std::uint32_t site = 0;     // layer or other place in the model
  std::uint64_t visit = 0;    // step or epoch
  std::uint64_t sample = 0;   // document or row id
};

// 4 x 32 random bits number `block` of the stream of `key`. The first 64 bits of the key are hashed in with the
// counters by one extra Philox call, so every field counts in full.
class RandomStream {
 public:
  explicit RandomStream(const RandomKey& key);
  std::array<std::uint32_t, 4> block(std::uint64_t index) const;
  std::uint32_t bits(std::uint64_t element) const;      // element e: word e % 4 of block e / 4
  double uniform(std::uint64_t element) const;          // [0, 1), 32 bits
  float normal(std::uint64_t element) const;            // fixed polynomial, not libm: the same bits everywhere
 private:
  std::array<std::uint32_t, 2> key_{};
  std::array<std::uint32_t, 2> high_{};
};

}  // namespace lathe
