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

std::int64_t AllocatorBooks::Totals::sum() const { return std::accumulate(mapped.begin(), mapped.end(), outside); }

AllocatorBooks::Held AllocatorBooks::take(std::int64_t bytes, Use use) {
  const bool large = bytes >= kLarge;
  const std::int64_t size = large ? static_cast<std::int64_t>(allocation_class(static_cast<std::size_t>(bytes))) : bytes;
  now_.mapped[static_cast<std::size_t>(use)] += size;
  if (large) {
    in_use_ += size;
    largest_in_use_ = std::max(largest_in_use_, in_use_);
    auto& blocks = free_[size];
    if (!blocks.empty()) {
      now_.mapped[static_cast<std::size_t>(blocks.back())] -= size;
      cached_ -= size;
      blocks.pop_back();
    }
  }
  note();
  return {this, [this, size, use, large](void*) { give(size, use, large); }};
}

void AllocatorBooks::give(std::int64_t size, Use use, bool large) {
  if (!large) {
    now_.mapped[static_cast<std::size_t>(use)] -= size;
    return;
  }
  in_use_ -= size;
  cached_ += size;
  free_[size].push_back(use);
  if (in_use_ + cached_ <= largest_in_use_ + kCacheFloor) return;
  for (const auto& [bytes, blocks] : free_)
    for (const Use last : blocks) now_.mapped[static_cast<std::size_t>(last)] -= bytes;
  free_.clear();
  cached_ = 0;
}

void AllocatorBooks::set_outside(std::int64_t bytes) {
  now_.outside = bytes;
  note();
}

void AllocatorBooks::note() {
  if (now_.sum() > peak_.sum()) peak_ = now_;
}

}  // namespace lathe
