#pragma once
// The allocator's books without the memory: what trainer/allocator.cpp would have mapped after the same takes and gives.
// Resident memory of a run is mostly this, because freed blocks stay mapped by size class. Not thread-safe; every Held
// must be gone before its books are.
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>

namespace lathe {

enum class Use { Weights, Gradients, Optimizer, Activations, Loss, CheckpointCopy, Count };

class AllocatorBooks {
 public:
  using Held = std::shared_ptr<void>;   // a block's life, shared as tensors share storage
  struct Totals {
    std::array<std::int64_t, static_cast<std::size_t>(Use::Count)> in_use{};
    std::int64_t cached = 0, outside = 0;
    std::int64_t sum() const;
  };

  Held take(std::int64_t bytes, Use use);
  // Memory beside the allocator's, such as a mapped file, that comes and goes.
  void set_outside(std::int64_t bytes);
  const Totals& at_peak() const { return peak_; }

 private:
  void give(std::int64_t size, Use use, bool large);
  void note();
  Totals now_, peak_;
  std::int64_t large_in_use_ = 0, largest_in_use_ = 0;
  std::map<std::int64_t, std::int64_t> free_;   // size class -> blocks
};

}  // namespace lathe
