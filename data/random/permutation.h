#pragma once
// A permutation of [0, n) computed element by element: a keyed Feistel network with cycle walking. O(1) state and seek.
#include <cstdint>

namespace lathe {

class Permutation {
 public:
  Permutation(std::uint64_t size, std::uint64_t seed, std::uint64_t epoch);
  std::uint64_t operator()(std::uint64_t index) const;  // index < size
  std::uint64_t size() const { return size_; }

 private:
  std::uint64_t size_, seed_, epoch_;
  unsigned half_bits_;
};

}  // namespace lathe
