#include "trainer/plan/books.h"

#include <algorithm>
#include <numeric>

#include "trainer/allocator.h"

namespace lathe {

namespace {

// As in trainer/allocator.cpp: smaller blocks are glibc's; so much may be cached beyond the largest use before all of
// it is given back.
constexpr std::int64_t kLarge = std::int64_t{64} << 10, kCacheFloor = std::int64_t{128} << 20;

}  // namespace

std::int64_t AllocatorBooks::Totals::sum() const {
  return std::accumulate(in_use.begin(), in_use.end(), cached + outside);
}

AllocatorBooks::Held AllocatorBooks::take(std::int64_t bytes, Use use) {
  const bool large = bytes >= kLarge;
  const std::int64_t size = large ? static_cast<std::int64_t>(allocation_class(static_cast<std::size_t>(bytes))) : bytes;
  now_.in_use[static_cast<std::size_t>(use)] += size;
  if (large) {
    large_in_use_ += size;
    largest_in_use_ = std::max(largest_in_use_, large_in_use_);
    auto& blocks = free_[size];
    if (blocks > 0) {
      --blocks;
      now_.cached -= size;
    }
  }
  note();
  return {this, [this, size, use, large](void*) { give(size, use, large); }};
}

void AllocatorBooks::give(std::int64_t size, Use use, bool large) {
  now_.in_use[static_cast<std::size_t>(use)] -= size;
  if (!large) return;
  large_in_use_ -= size;
  now_.cached += size;
  ++free_[size];
  if (large_in_use_ + now_.cached <= largest_in_use_ + kCacheFloor) return;
  free_.clear();
  now_.cached = 0;
}

void AllocatorBooks::set_outside(std::int64_t bytes) {
  now_.outside = bytes;
  note();
}

void AllocatorBooks::note() {
  if (now_.sum() > peak_.sum()) peak_ = now_;
}

}  // namespace lathe
