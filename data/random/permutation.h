#pragma once
// A permutation of [0, n) computed element by element: a keyed Feistel network with cycle walking. O(1) state
// and seek. The same (size, seed, epoch) gives the same order on every machine, for ever: tests hold its
// values.
#include <array>
#include <cstdint>

namespace lathe {

class Permutation {
 public:
  Permutation(std::uint64_t size, std::uint64_t seed, std::uint64_t epoch);
  std::uint64_t operator()(std::uint64_t index) const;  // index < size; 0 for an empty permutation
  std::uint64_t size() const { return size_; }

 private:
  std::uint64_t size_;
  std::array<std::uint32_t, 2> key_;
  unsigned half_bits_;
  bool odd_;
};

}  // namespace lathe
