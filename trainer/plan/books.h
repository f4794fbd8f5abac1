#pragma once
// The allocator's books without the memory: what trainer/allocator.cpp would have mapped after the same takes
// and gives. Resident memory of a run is mostly this, because freed blocks stay mapped by size class. Not
// thread-safe; every Held must be gone before its books are.
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "trainer/free_blocks.h"

namespace lathe {

enum class Use { Weights, Gradients, Optimizer, Activations, Loss, Answers, CheckpointCopy, Count };

class AllocatorBooks {
 public:
  explicit AllocatorBooks(Slack slack = Slack::Quarter) : slack_(slack) {}
  using Held = std::shared_ptr<void>;  // a block's life, shared as tensors share storage
  // Mapped and written bytes by what they hold, or held last when they are free and kept for reuse.
  struct Totals {
    std::array<std::int64_t, static_cast<std::size_t>(Use::Count)> mapped{};
    std::int64_t outside = 0;
    std::int64_t sum() const;
  };

  // `written`: the bytes of it that will be written, where that is not all: the others' pages take no memory.
  Held take(std::int64_t bytes, Use use, std::optional<std::int64_t> written = std::nullopt);
  void release_free() { keep_at_most(0); }
  // Memory beside the allocator's, such as a mapped file, that comes and goes.
  void set_outside(std::int64_t bytes);
  const Totals& at_peak() const { return peak_; }

 private:
  struct Kept {
    Use last;
    std::int64_t written;
  };
  void give(std::int64_t size, bool large, Kept kept);
  void count(Use use, std::int64_t bytes) { now_.mapped[static_cast<std::size_t>(use)] += bytes; }
  std::int64_t free_limit() const;  // bytes that may stay free beside those in use
  void keep_at_most(std::int64_t bytes);
  void note();
  Slack slack_;
  Totals now_, peak_;
  std::int64_t in_use_ = 0, largest_in_use_ = 0;  // of large blocks
  FreeBlocks<Kept> free_;
};

}  // namespace lathe
