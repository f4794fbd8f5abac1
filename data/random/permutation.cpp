#include "data/random/permutation.h"

#include <bit>
#include <cassert>

#include "data/random/philox.h"

namespace lathe {

Permutation::Permutation(std::uint64_t size, std::uint64_t seed, std::uint64_t epoch) : size_(size) {
  const auto bits = RandomStream({.seed = seed, .purpose = Purpose::Order, .visit = epoch}).block(0);
  key_ = {bits[0], bits[1]};
  odd_ = bits[2] & 1;
  const unsigned width = size < 2 ? 0 : static_cast<unsigned>(std::bit_width(size - 1));
  half_bits_ = (width + 1) / 2;
}

std::uint64_t Permutation::operator()(std::uint64_t index) const {
  assert(index < size_ || size_ == 0);
  if (size_ < 2) return 0;
  const std::uint64_t mask = (std::uint64_t{1} << half_bits_) - 1;
  const std::uint32_t rounds = half_bits_ <= 4 ? 24 : 8;  // tiny halves carry few bits a round and mix slowly
  std::uint64_t value = index;
  do {  // the network permutes [0, 4^half_bits), less than 4 n: walk the cycle until it is back in [0, n)
    std::uint64_t left = value >> half_bits_, right = value & mask;
    for (std::uint32_t round = 0; round < rounds; ++round) {
      const std::uint64_t mixed =
          left ^ (philox4x32({static_cast<std::uint32_t>(right), round, 0, 0}, key_)[0] & mask);
      left = right;
      right = mixed;
    }
    value = left << half_bits_ | right;
  } while (value >= size_);
  // Rounds on halves of two bits or more are even permutations; exchanging 0 and 1 on a key bit gives the odd
  // ones too.
  return value ^ static_cast<std::uint64_t>(odd_ && value < 2);
}

}  // namespace lathe
